"""Dead letters: what they say about themselves, and their way back to the writer topic."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta

from attrs import evolve, frozen

from voltpay_core.codec import (
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    FIRST_FAILED_HEADER,
    attempts,
    without_letter_headers,
)
from voltpay_core.errors import Fenced
from voltpay_core.ids import UNIX_EPOCH
from voltpay_core.ports import EventPublisher, MessageSource, PollResult
from voltpay_core.records import ProducerRecord, Record

CHUNK = 500
"""Letters a poll, at most."""

NO_CODE = "unknown"
_LATEST = 253_402_300_799_999  # the last millisecond that Python knows
_CODE = re.compile(r"[a-z0-9-]{1,64}")


@frozen
class DeadLetter:
    """A dead letter's own account of itself, without anything of the message.

    Attributes:
        code: The stable word for the reason; ``unknown`` where it is none of ours.
        place: Where the letter is, as ``topic-partition@offset``.
        origin: Where the record was read, likewise.
        attempt: How many times the message has failed.
    """

    code: str
    place: str
    origin: str
    attempt: int
    first_failed_at: datetime
    reason: str

    @classmethod
    def read(cls, record: Record) -> DeadLetter:
        """What a record of the dead-letter topic says about itself."""
        code = _text(record, CODE_HEADER)
        topic, partition, offset, reason = (
            _text(record, CONNECT_ERRORS_PREFIX + name)
            for name in ("topic", "partition", "offset", "exception.message")
        )
        return cls(
            code=code if _CODE.fullmatch(code) else NO_CODE,
            place=f"{record.partition}@{record.offset}",
            origin=f"{topic}-{partition}@{offset}",
            attempt=attempts(record.headers) or 1,
            first_failed_at=_instant(_text(record, FIRST_FAILED_HEADER), record.timestamp),
            reason=reason,
        )


@frozen
class ReplayPlan:
    """What a replay would do with the letters of one code.

    Attributes:
        replayable: They would go back to the writer topic.
        parked: They failed too often already: they stay where they are.
        old: Those to be replayed whose claims may be purged already: a message that came again
            under the same id meanwhile would be written twice.
    """

    replayable: int = 0
    parked: int = 0
    old: int = 0


def plans(
    letters: Iterable[Record], *, max_attempts: int, now: datetime, claims_kept: timedelta
) -> dict[str, ReplayPlan]:
    """What replays would do, by code."""
    found: dict[str, ReplayPlan] = {}
    for record in letters:
        letter = DeadLetter.read(record)
        plan = found.get(letter.code, ReplayPlan())
        if letter.attempt >= max_attempts:
            plan = evolve(plan, parked=plan.parked + 1)
        else:
            old = now - letter.first_failed_at > claims_kept
            plan = evolve(plan, replayable=plan.replayable + 1, old=plan.old + old)
        found[letter.code] = plan
    return dict(sorted(found.items()))


def counts(letters: Iterable[DeadLetter]) -> dict[str, int]:
    """How many letters there are of each code, the most frequent first."""
    return dict(Counter(letter.code for letter in letters).most_common())


@frozen
class Replayed:
    """How many letters went back, and how many were left because they failed too often."""

    replayed: int = 0
    parked: int = 0


def replay(
    source: MessageSource,
    publisher: EventPublisher,
    writer_topic: str,
    *,
    code: str,
    max_attempts: int,
    limit: int | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> Replayed:
    """Send the letters of one code back, until the end that the source saw at its start.

    Letters of other codes are passed over: the source keeps the positions of this code alone.
    Whatever is sent is acknowledged by the broker before its letter counts as done.

    Args:
        source: The dead-letter topic, by a group of this code's own.
        max_attempts: Letters that have failed as often stay where they are.
        limit: Letters to send, at most.
        stop: Asked between chunks.

    Raises:
        Unavailable: The broker cannot be reached; running it again goes on from there.
    """
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
    """What is to be sent of a poll, and how much of it was looked at before the limit."""
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
    """The message as it came; without its old timestamp, by which the topic might expire it."""
    return ProducerRecord(topic, record.key, record.value, without_letter_headers(record.headers))


def _acknowledge(source: MessageSource, polled: PollResult, seen: Sequence[Record]) -> None:
    whole = len(seen) == len(polled.records)
    positions = polled.positions if whole else {r.partition: r.offset + 1 for r in seen}
    try:
        if positions:
            source.acknowledge(positions)
    except Fenced:
        return  # another replay has them now: it may send them again, and the claims decide


def _text(record: Record, name: str) -> str:
    """A header's text, fit for a terminal whoever wrote it."""
    text = (record.header(name) or b"").decode(errors="replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def _instant(text: str, timestamp: int | None) -> datetime:
    """The instant that a header states, or else the record's own timestamp."""
    try:
        instant = datetime.fromisoformat(text)
    except ValueError:
        instant = None
    if instant is not None and instant.tzinfo is not None:
        return instant
    return UNIX_EPOCH + timedelta(milliseconds=min(max(timestamp or 0, 0), _LATEST))
