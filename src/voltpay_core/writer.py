"""Writes commit units: claim, write, bisect what the database refuses, and keep the events safe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import chain

from attrs import define, field, frozen

from voltpay_core.errors import PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import PaymentIds
from voltpay_core.messages import Event, Message, Partition, Record
from voltpay_core.outcomes import DeadLettered, Decoded, Duplicate, Outcome, Written
from voltpay_core.payments import DEAD_LETTER_KEY, Payment
from voltpay_core.ports import Begin, UnitOfWork
from voltpay_core.wire import Wire, pack


@frozen
class Committed:
    """A commit unit whose transaction is done, and whose events wait for their publication.

    Attributes:
        outcomes: One for each record.
        events: In the order in which they are to appear (G3).
        rows: The outbox rows that hold them until they are published (G2).
    """

    outcomes: Sequence[Outcome]
    events: Sequence[Event]
    rows: frozenset[int]


@define
class Breaker:
    """Tells a bad world from bad messages: so many like refusals in a row are the world (G5).

    Attributes:
        limit: Refusals in a row, not parted by a commit unit without any, that halt the writer.
    """

    limit: int = 20
    _kind: tuple[str | None, str | None] = field(default=(None, None), init=False)
    _count: int = field(default=0, init=False)

    def refused(self, refusal: Rejected) -> None:
        """Count a refused message.

        Raises:
            Unavailable: (halt) The limit is reached.
        """
        kind = (refusal.sqlstate, refusal.constraint)
        self._count = self._count + 1 if kind == self._kind else 1
        self._kind = kind
        if self._count >= self.limit:
            raise Unavailable(
                f"the database refused {self._count} messages in a row with SQLSTATE {kind[0]}"
                f" (constraint {kind[1]}): mend the database, or raise limits.breaker",
                halt=True,
            )

    def clean(self) -> None:
        """Note a commit unit without a refusal."""
        self._count = 0


@define
class Writer:
    """Writes commit units, each in one transaction and exactly once (G1).

    Attributes:
        begin: Opens the transaction.
        now: The time of day, for dead letters.
    """

    _begin: Begin
    _wire: Wire
    _ids: PaymentIds
    _now: Callable[[], datetime]
    _breaker: Breaker = field(factory=Breaker)

    def write(
        self, unit: Sequence[Decoded], epochs: Mapping[Partition, int], published: Collection[int]
    ) -> Committed:
        """Write one commit unit and delete the outbox rows that are already published.

        Raises:
            Fenced: A partition has a new owner; nothing is written.
            Unavailable: The database cannot write now; whether it has, the claims will tell.
        """
        partitions = dict.fromkeys(item.record.partition for item in unit)
        with self._begin() as work:
            work.fence.hold({partition: epochs[partition] for partition in partitions})
            work.outbox.delete(published)
            outcomes = self._settle(work, unit)
            events: dict[Partition, list[Event]] = {}
            for outcome in outcomes:
                if made := self._events(outcome):
                    events.setdefault(outcome.record.partition, []).extend(made)
            rows = work.outbox.put({place: pack(made) for place, made in events.items()})
        return Committed(outcomes, list(chain.from_iterable(events.values())), rows)

    def _settle(self, work: UnitOfWork, unit: Sequence[Decoded]) -> list[Outcome]:
        messages = [item for item in unit if isinstance(item, Message)]
        letters = [item for item in unit if isinstance(item, DeadLettered)]
        outcomes = self._write(work, messages) if messages else []
        if messages and not any(isinstance(outcome, DeadLettered) for outcome in outcomes):
            self._breaker.clean()
        return self._claim_letters(work, [*outcomes, *letters])

    def _write(self, work: UnitOfWork, messages: Sequence[Message]) -> list[Outcome]:
        try:
            return self._write_together(work, messages)
        except Rejected as refusal:
            if len(messages) > 1:
                middle = len(messages) // 2
                return self._write(work, messages[:middle]) + self._write(work, messages[middle:])
            return self._last_resort(work, messages, refusal)

    def _write_together(self, work: UnitOfWork, messages: Sequence[Message]) -> list[Outcome]:
        with work.savepoint():
            free = work.idempotency.claim(sorted({m.payment.message_id for m in messages}))
            outcomes: list[Outcome] = []
            for message in messages:
                if message.payment.message_id in free:
                    free.remove(message.payment.message_id)
                    payment = Payment(self._ids.mint(work.node_id), message.payment)
                    outcomes.append(Written(message.record, payment))
                else:
                    outcomes.append(Duplicate(message.record))
            work.payments.add([o.payment for o in outcomes if isinstance(o, Written)])
        return outcomes

    def _last_resort(
        self, work: UnitOfWork, messages: Sequence[Message], refusal: Rejected
    ) -> list[Outcome]:
        if isinstance(refusal, PaymentIdTaken):
            try:
                return self._write_together(work, messages)  # with a fresh id
            except Rejected as again:
                refusal = again
        self._breaker.refused(refusal)
        return [DeadLettered(messages[0].record, refusal)]

    def _claim_letters(self, work: UnitOfWork, outcomes: list[Outcome]) -> list[Outcome]:
        keys = {
            index: dead_letter_key(outcome.record)
            for index, outcome in enumerate(outcomes)
            if isinstance(outcome, DeadLettered)
        }
        if not keys:
            return outcomes
        free = work.idempotency.claim(sorted(keys.values()))
        for index, key in keys.items():
            if key not in free:
                outcomes[index] = Duplicate(outcomes[index].record)
        return outcomes

    def _events(self, outcome: Outcome) -> list[Event]:
        match outcome:
            case Written():
                return self._wire.events(outcome)
            case DeadLettered():
                return [self._wire.dead_letter(outcome, self._now())]
            case Duplicate():
                return []


def dead_letter_key(record: Record) -> str:
    """The claim of a dead letter: this very record, so that a corrected message can come again."""
    digest = sha256()
    place = (
        f"{record.partition.topic}\n{record.partition.number}\n{record.offset}\n{record.timestamp}"
    )
    for part in (place.encode(), record.key, record.value):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return DEAD_LETTER_KEY + digest.hexdigest()
