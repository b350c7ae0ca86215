"""Where a group goes on in a partition, whichever client reads it."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition

_MARK = "topic-id="


def mark(topic: UUID | None) -> str:
    """The metadata of a committed offset: it names the topic by its id."""
    return f"{_MARK}{topic}" if topic else ""


def is_of_another(metadata: str, topic: UUID | None) -> bool:
    """Whether the metadata of an offset names another topic than this."""
    return topic is not None and metadata.startswith(_MARK) and metadata != mark(topic)


def resume_at(
    partition: Partition,
    committed: int | None,
    start: int,
    end: int,
    skip: Callable[[str], None] | None,
) -> int:
    """The offset to go on from: the committed one, or the log's start where there is none.

    Args:
        start: The log's start.
        end: The log's end.
        skip: Told in a sentence of records that expired unread; None where they are not skipped.

    Raises:
        Unavailable: (halt) Records expired before they were read (``records-expired``), or more is
            committed than there is.
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
            f"Kafka: {partition} ends at {end}, and {committed} is acknowledged: the topic has lost"
            " records, or is another one; set the group's offset before you go on",
            halt=True,
        )
    return committed
