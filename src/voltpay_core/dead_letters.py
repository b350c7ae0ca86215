"""Dead letters: what their headers say, and where they are."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from attrs import frozen

from voltpay_core.codec import (
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    FIRST_FAILED_HEADER,
    attempts,
)
from voltpay_core.ids import UNIX_EPOCH
from voltpay_core.ports import MessageSource
from voltpay_core.records import Record

NO_CODE = "unknown"
_LATEST = 253_402_300_799_999  # the last millisecond of a datetime
_CODE = re.compile(r"[a-z0-9-]{1,64}")


class DeadLetters(Protocol):
    """The dead-letter topic, or the file in its place."""

    def browse(self, replays_of: str | None = None) -> Iterator[Record]:
        """The dead letters that are there now.

        Args:
            replays_of: Leave out what the replays of this code have acknowledged.
        """

    def source(self, code: str) -> MessageSource:
        """The dead letters up to their present end, read by the group that replays this code.

        Raises:
            Misconfigured: They are replayed in another way (``letters-in-file``).
        """


@frozen
class DeadLetter:
    """The headers of a dead letter, without anything of the message.

    Attributes:
        code: The stable word for the reason; ``unknown`` if the header is missing or invalid.
        location: The letter's topic, partition and offset, as ``topic-partition@offset``.
        origin: Those of the original record, in the same form.
        attempt: The number of times that the message has failed.
    """

    code: str
    location: str
    origin: str
    attempt: int
    first_failed_at: datetime
    reason: str

    @classmethod
    def read(cls, record: Record) -> DeadLetter:
        """Read the headers of a record of the dead-letter topic."""
        code = _text(record, CODE_HEADER)
        topic, partition, offset, reason = (
            _text(record, CONNECT_ERRORS_PREFIX + name)
            for name in ("topic", "partition", "offset", "exception.message")
        )
        return cls(
            code=code if _CODE.fullmatch(code) else NO_CODE,
            location=f"{record.partition}@{record.offset}",
            origin=f"{topic}-{partition}@{offset}",
            attempt=attempts(record.headers) or 1,
            first_failed_at=_instant(_text(record, FIRST_FAILED_HEADER), record.timestamp),
            reason=reason,
        )


def counts(letters: Iterable[DeadLetter]) -> dict[str, int]:
    """Return the number of letters of each code, the most frequent first."""
    return dict(Counter(letter.code for letter in letters).most_common())


def _text(record: Record, name: str) -> str:
    """A header's text; unprintable characters are replaced, since anybody may have written it."""
    text = (record.header(name) or b"").decode(errors="replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _instant(text: str, timestamp: int | None) -> datetime:
    """The time in a header, or else the record's timestamp."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is not None and instant.tzinfo is not None:
        return instant
    return UNIX_EPOCH + timedelta(milliseconds=min(max(timestamp or 0, 0), _LATEST))
