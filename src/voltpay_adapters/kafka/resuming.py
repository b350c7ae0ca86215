"""The offset from which a group continues in a partition, or browsing begins, by any client."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition

_MARK = "topic-id="


def mark(topic: UUID | None) -> str:
    """The metadata of a committed offset: the id of its topic."""
    return f"{_MARK}{topic}" if topic else ""


def is_of_another(metadata: str, topic: UUID | None) -> bool:
    """Whether the metadata of an offset names a different topic id."""
    return topic is not None and metadata.startswith(_MARK) and metadata != mark(topic)


def browse_from(start: int, end: int, first: int, newest: int | None) -> int:
    """The first offset of a partition to browse; the end or beyond it if there is none.

    Args:
        start: The log's start, or the offset that a group has committed.
        end: The log's end.
        first: Leave out what is before this offset.
        newest: The number of records before the end, at most; None for all.
    """
    return max(start, first, 0 if newest is None else end - newest)


def resume_at(
    partition: Partition,
    committed: int | None,
    start: int,
    end: int,
    skip: Callable[[str], None] | None,
) -> int:
    """The offset to continue from: the committed one, or the log's start if there is none.

    Args:
        start: The log's start.
        end: The log's end.
        skip: Called with a sentence about records that expired; None if they are not skipped.

    Raises:
        Unavailable: (halt) Records expired before they were read (``records-expired``), or the
            committed offset is beyond the log's end.
    """
    if committed is None:
        return start
    if committed < start:
        expired = f"{start - committed} records of {partition} expired before they were read"
        if skip is None:
            raise Unavailable(expired, halt=True, code="records-expired")
        skip(f"{expired}; skipped")
        return start
    if committed > end:
        raise Unavailable(
            f"Kafka: {partition} ends at {end}, but {committed} is acknowledged:"
            " the topic lost records or was replaced; set the group's offset, then start again",
            halt=True,
        )
    return committed
