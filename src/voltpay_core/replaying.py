"""Dead letters: reads their headers, and sends them back to the input topic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Protocol

from attrs import evolve, frozen

from voltpay_core.codec import (
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    FIRST_FAILED_HEADER,
    attempts,
    without_letter_headers,
)
from voltpay_core.errors import Fenced, Misconfigured
from voltpay_core.ids import UNIX_EPOCH
from voltpay_core.ports import EventPublisher, MessageSource, PollResult
from voltpay_core.records import ProducerRecord, Record

CHUNK = 500
"""Letters in a poll, at most."""

NO_CODE = "unknown"
_LATEST = 253_402_300_799_999  # the last millisecond of a datetime
_CODE = re.compile(r"[a-z0-9-]{1,64}")


def replay_group(group: str, code: str) -> str:
    """The consumer group of a code's replays, so that no code skips the letters of another."""
    return f"{group}-replay-{code}"


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


@frozen
class ReplayPlan:
    """What a replay would do with the letters of one code.

    Attributes:
        replayable: Letters that would be sent back to the input topic.
        parked: Letters that have failed too often and stay in the dead-letter topic.
        beyond_retention: Replayable letters that are older than claims are kept. If a message of
            the same id was written meanwhile, a replay would write it twice (G1).
    """

    replayable: int = 0
    parked: int = 0
    beyond_retention: int = 0

    def __str__(self) -> str:
        beyond = f", {self.beyond_retention} of them older than claims are kept"
        parked = f"; {self.parked} failed too often and stay"
        return (
            f"{self.replayable} to replay"
            f"{beyond if self.beyond_retention else ''}{parked if self.parked else ''}"
        )

    def check(self) -> None:
        """Return if a replay cannot make two payments of one message.

        Raises:
            Misconfigured: Letters are older than claims are kept (``letters-beyond-retention``).
        """
        if self.beyond_retention:
            raise Misconfigured(
                f"{self.beyond_retention} letters are older than claims are kept: a message that"
                " was written meanwhile would be written twice",
                code="letters-beyond-retention",
            )


def plans(
    letters: Iterable[Record], *, max_attempts: int, now: datetime, claims_kept: timedelta
) -> dict[str, ReplayPlan]:
    """Return the plan for a replay of each code.

    Args:
        max_attempts: Letters that have failed this often are parked.
        claims_kept: How long claims are kept.
    """
    found: dict[str, ReplayPlan] = {}
    for record in letters:
        letter = DeadLetter.read(record)
        plan = found.get(letter.code, ReplayPlan())
        if letter.attempt >= max_attempts:
            plan = evolve(plan, parked=plan.parked + 1)
        else:
            beyond = plan.beyond_retention + (now - letter.first_failed_at > claims_kept)
            plan = evolve(plan, replayable=plan.replayable + 1, beyond_retention=beyond)
        found[letter.code] = plan
    return dict(sorted(found.items()))


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


@frozen
class Replayed:
    """The numbers of letters that were sent back and that were parked."""

    replayed: int = 0
    parked: int = 0

    def __str__(self) -> str:
        return f"sent {self.replayed}, parked {self.parked}"


def replay(
    source: MessageSource,
    publisher: EventPublisher,
    writer_topic: str,
    plan: ReplayPlan | None,
    *,
    code: str,
    max_attempts: int,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Send the letters of one code back, up to the end offsets that the source saw at start-up.

    Letters of other codes are skipped, because the source's consumer group belongs to this code.
    The broker acknowledges every letter before its offset is committed.

    Args:
        source: The dead-letter topic, read by this code's `replay_group`.
        writer_topic: The input topic.
        plan: The code's plan from `plans`, which is checked first; None skips this check.
        max_attempts: Letters that have failed this often are parked.
        limit: Letters to send, at most.
        stop: Called between chunks; true ends the replay.

    Raises:
        Misconfigured: Letters are older than claims are kept; nothing was sent.
        Unavailable: The broker cannot be reached; the next replay continues from there.
    """
    if plan is not None:
        plan.check()
    done = Replayed()
    while not stop() and done.replayed != limit:
        polled = source.poll(CHUNK)
        source.seek_to_committed(polled.assigned)
        left = None if limit is None else limit - done.replayed
        chunk = _choose(polled.records, code, max_attempts, left)
        if chunk.back:
            publisher.publish([_event(record, writer_topic) for record in chunk.back]).wait()
        _acknowledge(source, polled, chunk.seen)
        done = Replayed(done.replayed + len(chunk.back), done.parked + chunk.parked)
        if not polled.records and source.drained():
            break
    return done


@frozen
class _Chunk:
    seen: Sequence[Record]
    back: Sequence[Record]
    parked: int


def _choose(records: Sequence[Record], code: str, max_attempts: int, limit: int | None) -> _Chunk:
    """Choose the letters of a poll that are sent, up to the limit."""
    back: list[Record] = []
    parked = seen = 0
    for record in records:
        if len(back) == limit:
            break
        seen += 1
        letter = DeadLetter.read(record)
        if letter.code == code:
            if letter.attempt >= max_attempts:
                parked += 1
            else:
                back.append(record)
    return _Chunk(records[:seen], back, parked)


def _event(record: Record, topic: str) -> ProducerRecord:
    """The original record, without its old timestamp, by which it could expire at once."""
    return ProducerRecord(topic, record.key, record.value, without_letter_headers(record.headers))


def _acknowledge(source: MessageSource, polled: PollResult, seen: Sequence[Record]) -> None:
    whole = len(seen) == len(polled.records)
    positions = polled.positions if whole else {r.partition: r.offset + 1 for r in seen}
    try:
        if positions:
            source.acknowledge(positions)
    except Fenced:
        return  # another replay owns them now: it may send them again, and the claims decide


def _text(record: Record, name: str) -> str:
    """A header's text; unprintable characters are replaced, since anybody may have written it."""
    text = (record.header(name) or b"").decode(errors="replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _instant(text: str, timestamp: int | None) -> datetime:
    """The time in a header, or else the record's timestamp."""
    with suppress(ValueError, OverflowError):  # the latter: in UTC it is before the year 1
        if (instant := datetime.fromisoformat(text)).tzinfo is not None:
            return instant.astimezone(UTC)
    return UNIX_EPOCH + timedelta(milliseconds=min(max(timestamp or 0, 0), _LATEST))
