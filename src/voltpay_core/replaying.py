"""Sends dead letters back to the input topic."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from itertools import islice

from attrs import evolve, frozen

from voltpay_core.codec import without_letter_headers
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.errors import Fenced, Misconfigured
from voltpay_core.ports import EventPublisher, MessageSource, PollResult
from voltpay_core.records import ProducerRecord, Record

CHUNK = 500
"""Letters in a poll, at most."""


def replay_group(group: str, code: str) -> str:
    """The consumer group of a code's replays, so that no code skips the letters of another."""
    return f"{group}-replay-{code}"


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
            raise _beyond_retention(f"{self.beyond_retention} letters are")


def plans(
    letters: Iterable[Record],
    *,
    max_attempts: int,
    now: datetime,
    claims_kept: timedelta,
    input_retention: timedelta = timedelta(0),
) -> dict[str, ReplayPlan]:
    """Return the plan for a replay of each code.

    Args:
        max_attempts: Letters that have failed this often are parked.
        claims_kept: How long claims are kept.
        input_retention: How long a letter may wait in the input topic after it is sent back. Its
            claim must be kept until then.
    """
    age_limit = claims_kept - input_retention
    found: dict[str, ReplayPlan] = {}
    for record in letters:
        letter = DeadLetter.read(record)
        plan = found.get(letter.code, ReplayPlan())
        if letter.attempt >= max_attempts:
            plan = evolve(plan, parked=plan.parked + 1)
        else:
            beyond = plan.beyond_retention + (now - letter.first_failed_at > age_limit)
            plan = evolve(plan, replayable=plan.replayable + 1, beyond_retention=beyond)
        found[letter.code] = plan
    return dict(sorted(found.items()))


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


def export(
    letters: Iterable[Record],
    publisher: EventPublisher,
    writer_topic: str,
    *,
    oldest: datetime | None,
    stop: Callable[[], bool] = lambda: False,
) -> int:
    """Publish dead letters as a replay would send them, and return their number.

    Args:
        publisher: Writes a file that can be consumed like the input topic.
        writer_topic: The input topic.
        oldest: The earliest first failure of a letter whose claims are still kept; None skips this
            check.
        stop: Called between chunks; true ends the export.

    Raises:
        Misconfigured: A letter is older (``letters-beyond-retention``); earlier ones are published.
        Unavailable: They cannot be read or written.
    """
    exported = 0
    found = iter(letters)
    while not stop() and (chunk := list(islice(found, CHUNK))):
        for letter in map(DeadLetter.read, chunk):
            if oldest is not None and letter.first_failed_at < oldest:
                raise _beyond_retention(f"the letter at {letter.location} is")
        publisher.publish([_event(record, writer_topic) for record in chunk]).wait()
        exported += len(chunk)
    return exported


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


def _beyond_retention(subject: str) -> Misconfigured:
    return Misconfigured(
        f"{subject} older than claims are kept: a message that was written meanwhile would be"
        " written twice",
        code="letters-beyond-retention",
    )


def _acknowledge(source: MessageSource, polled: PollResult, seen: Sequence[Record]) -> None:
    whole = len(seen) == len(polled.records)
    positions = polled.positions if whole else {r.partition: r.offset + 1 for r in seen}
    try:
        if positions:
            source.acknowledge(positions)
    except Fenced:
        return  # another replay owns them now: it may send them again, and the claims decide
