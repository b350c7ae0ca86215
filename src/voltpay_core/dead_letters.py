"""Dead letters: what their headers say, where they are, and which are looked at."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from attrs import frozen

from voltpay_core.codec import (
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    CONSTRAINT_HEADER,
    FAILED_HEADER,
    FIRST_FAILED_HEADER,
    SQLSTATE_HEADER,
    added_headers,
    attempts,
)
from voltpay_core.errors import Misconfigured
from voltpay_core.ids import UNIX_EPOCH
from voltpay_core.ports import MessageSource
from voltpay_core.records import Headers, Partition, Record, last_header

NO_CODE = "unknown"
_LATEST = 253_402_300_799_999  # the last millisecond of a datetime
_CODE = re.compile(r"[a-z0-9-]{1,64}")
_HARMLESS = re.compile(r"[A-Za-z0-9._:-]{1,64}")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(?:-.*)?")
_LOCATION = re.compile(r"(.{1,249})-([0-9]{1,9})@([0-9]{1,18})")


class DeadLetters(Protocol):
    """The dead-letter topic, or the file in its place."""

    def browse(
        self, replays_of: str | None = None, begin: tuple[int, int] | None = None
    ) -> Iterator[Record]:
        """The dead letters that are there now.

        Args:
            replays_of: Leave out what the replays of this code have acknowledged.
            begin: The number of the only partition to read, and the first offset there.
        """

    def source(self, code: str) -> MessageSource:
        """The dead letters up to their present end, read by the group that replays this code.

        Raises:
            Misconfigured: They are replayed in another way (``letters-in-file``).
        """


@frozen(kw_only=True)
class DeadLetter:
    """The headers of a dead letter, without anything of the message.

    Attributes:
        code: The stable word for the reason; ``unknown`` if the header is missing or invalid.
        location: The letter's topic, partition and offset, as ``topic-partition@offset``.
        origin: Those of the original record, in the same form.
        attempt: The number of times that the message has failed.
        failed_at: The time of the last failure.
        recorded_at: The timestamp of the original record; None if it has none.
        sqlstate: PostgreSQL's SQLSTATE, if the database rejected the message.
        constraint: The violated constraint, if the database named one.
        trace_id: The trace of the record's ``traceparent``, if that is well-formed.
        correlation_id: The record's ``correlation-id``, if it is harmless text: at most 64 letters,
            digits and ``. _ : -``.
        key_bytes: The length of the key; None if there is none.
        value_bytes: The length of the value; None if there is none.
        headers: The number of headers that the record came with.
        header_bytes: The length of their names and values.
    """

    code: str
    location: str
    origin: str
    attempt: int
    first_failed_at: datetime
    failed_at: datetime
    recorded_at: datetime | None = None
    reason: str
    sqlstate: str | None = None
    constraint: str | None = None
    trace_id: str | None = None
    correlation_id: str | None = None
    key_bytes: int | None = None
    value_bytes: int | None = None
    headers: int = 0
    header_bytes: int = 0

    @classmethod
    def read(cls, record: Record) -> DeadLetter:
        """Read the headers of a record of the dead-letter topic."""
        added, timestamp = added_headers(record.headers), record.timestamp
        code = _text(added, CODE_HEADER)
        topic, partition, offset, reason = (
            _text(added, CONNECT_ERRORS_PREFIX + name)
            for name in ("topic", "partition", "offset", "exception.message")
        )
        return cls(
            code=code if _CODE.fullmatch(code) else NO_CODE,
            location=f"{record.partition}@{record.offset}",
            origin=f"{topic}-{partition}@{offset}",
            attempt=attempts(record.headers) or 1,
            first_failed_at=_instant(_text(added, FIRST_FAILED_HEADER), timestamp),
            failed_at=_instant(_text(added, FAILED_HEADER), timestamp),
            recorded_at=None if timestamp is None or timestamp < 0 else _instant("", timestamp),
            reason=reason,
            sqlstate=_harmless(added, SQLSTATE_HEADER),
            constraint=_harmless(added, CONSTRAINT_HEADER),
            trace_id=trace_id(record.headers),
            correlation_id=correlation_id(record.headers),
            key_bytes=None if record.key is None else len(record.key),
            value_bytes=None if record.value is None else len(record.value),
            headers=len(record.headers) - len(added),
            header_bytes=_length(record.headers) - _length(added),
        )


@frozen(kw_only=True)
class Selection:
    """Which dead letters are looked at: those of a code, that failed within a time.

    Attributes:
        since: The earliest time of the last failure.
        until: The latest, exclusive.
    """

    code: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def has(self, letter: DeadLetter) -> bool:
        """Whether this letter is one of them."""
        return (
            self.code in {None, letter.code}
            and (self.since is None or letter.failed_at >= self.since)
            and (self.until is None or letter.failed_at < self.until)
        )


def find(letters: DeadLetters, location: str) -> Record:
    """Return the dead letter at this `DeadLetter.location`.

    Raises:
        Misconfigured: The text has another form, or no letter is there (``no-letter``).
        Unavailable: Kafka cannot be reached.
    """
    parts = _LOCATION.fullmatch(location)
    if parts is None:
        raise Misconfigured("the location of a dead letter has the form TOPIC-PARTITION@OFFSET")
    partition, offset = Partition(parts[1], int(parts[2])), int(parts[3])
    for record in letters.browse(begin=(partition.number, offset)):
        if (record.partition, record.offset) == (partition, offset):
            return record
        break
    raise Misconfigured(
        f"there is no dead letter at {partition}@{offset}: it has expired, or was never there",
        code="no-letter",
    )


def trace_id(headers: Headers) -> str | None:
    """Return the trace of a record's ``traceparent``; None without one that is well-formed."""
    traceparent = _TRACEPARENT.fullmatch(_text(headers, "traceparent"))
    return traceparent and traceparent[1]


def correlation_id(headers: Headers) -> str | None:
    """Return a record's ``correlation-id``; None if it is missing or more than harmless text."""
    return _harmless(headers, "correlation-id")


def printable(text: str) -> str:
    """Return a text that anybody may have written, with unprintable characters replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def counts(letters: Iterable[DeadLetter]) -> dict[str, int]:
    """Return the number of letters of each code, the most frequent first."""
    return dict(Counter(letter.code for letter in letters).most_common())


def hourly(letters: Iterable[DeadLetter]) -> dict[datetime, dict[str, int]]:
    """Return the number of letters of each code, by the hour of the first failure, newest first."""
    hours: dict[datetime, list[DeadLetter]] = {}
    for letter in letters:
        hour = letter.first_failed_at.replace(minute=0, second=0, microsecond=0)
        hours.setdefault(hour, []).append(letter)
    return {hour: counts(hours[hour]) for hour in sorted(hours, reverse=True)}


def _text(headers: Headers, name: str) -> str:
    return printable((last_header(headers, name) or b"").decode(errors="replace"))


def _length(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") for name, value in headers)


def _harmless(headers: Headers, name: str) -> str | None:
    text = _text(headers, name)
    return text if _HARMLESS.fullmatch(text) else None


def _instant(text: str, timestamp: int | None) -> datetime:
    """The time in a header, or else the record's timestamp."""
    with suppress(ValueError, OverflowError):  # the latter: in UTC it is before the year 1
        if (instant := datetime.fromisoformat(text)).tzinfo is not None:
            return instant.astimezone(UTC)
    return UNIX_EPOCH + timedelta(milliseconds=min(max(timestamp or 0, 0), _LATEST))
