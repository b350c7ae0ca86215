"""Writes commit units: claim, write, bisect what the database refuses, and keep the events safe."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import chain

from attrs import define, evolve, field, frozen

from voltpay_core.codec import Codec, pack
from voltpay_core.errors import PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, Decoded, DecodedPayment, Duplicate, Outcome, Written
from voltpay_core.payments import DEAD_LETTER_KEY_PREFIX, Payment
from voltpay_core.ports import BeginUnitOfWork, UnitOfWork
from voltpay_core.records import Partition, ProducerRecord, Record


@frozen
class Committed:
    """A commit unit whose transaction is done, and whose events wait for their publication.

    Attributes:
        outcomes: One for each record.
        events: In the order in which they are to appear (G3).
        rows: The outbox rows that hold them until they are published (G2).
    """

    outcomes: Sequence[Outcome]
    events: Sequence[ProducerRecord]
    rows: frozenset[int]


@frozen
class Breaker:
    """Tells a bad world from bad messages: so many like refusals in a row are the world (G5).

    Attributes:
        limit: So many refusals of one SQLSTATE and constraint halt the writer, where fewer than
            as many payments were written between each two of them.
    """

    limit: int = 20
    _kind: tuple[str | None, str | None] = (None, None)
    _refused: int = 0
    _written: int = 0

    def refused(self, refusal: Rejected) -> Breaker:
        """One more message is refused.

        Raises:
            Unavailable: (halt) The limit is reached.
        """
        kind = (refusal.sqlstate, refusal.constraint)
        count = self._refused + 1 if kind == self._kind else 1
        if count >= self.limit:
            raise Unavailable(
                f"the database refused {count} messages in a row with SQLSTATE {kind[0]}"
                f" (constraint {kind[1]}): mend the database, or raise limits.breaker",
                halt=True,
            )
        return Breaker(self.limit, kind, count)

    def wrote(self, payments: int) -> Breaker:
        """So many payments are written."""
        written = self._written + payments
        if not self._refused or written >= self.limit:
            return Breaker(self.limit)
        return evolve(self, written=written)


@define
class PaymentWriter:
    """Writes commit units, each in one transaction and exactly once (G1).

    Attributes:
        begin: Opens the transaction.
        now: The time of day, for dead letters.
    """

    _begin: BeginUnitOfWork
    _codec: Codec
    _ids: PaymentIdGenerator
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
        before = self._breaker
        try:
            with self._begin() as work:
                return self._write_within(work, unit, epochs, published)
        except BaseException:
            self._breaker = before  # what is not committed does not count
            raise

    def _write_within(
        self,
        work: UnitOfWork,
        unit: Sequence[Decoded],
        epochs: Mapping[Partition, int],
        published: Collection[int],
    ) -> Committed:
        work.fence.hold({item.record.partition: epochs[item.record.partition] for item in unit})
        work.outbox.delete(published)
        messages = [item for item in unit if isinstance(item, DecodedPayment)]
        letters = [item for item in unit if isinstance(item, DeadLettered)]
        written = self._write_or_bisect(work, messages) if messages else []
        outcomes = self._claim_letters(work, [*written, *letters])
        events: dict[Partition, list[ProducerRecord]] = {}
        for outcome in outcomes:
            if made := self._events(outcome):
                events.setdefault(outcome.record.partition, []).extend(made)
        rows = work.outbox.put({place: pack(made) for place, made in events.items()})
        return Committed(outcomes, list(chain.from_iterable(events.values())), rows)

    def _write_or_bisect(
        self, work: UnitOfWork, messages: Sequence[DecodedPayment]
    ) -> list[Outcome]:
        try:
            return self._write_together(work, messages)
        except Rejected as refusal:
            if len(messages) > 1:
                middle = len(messages) // 2
                return [
                    *self._write_or_bisect(work, messages[:middle]),
                    *self._write_or_bisect(work, messages[middle:]),
                ]
            return [self._retry_or_dead_letter(work, messages[0], refusal)]

    def _write_together(
        self, work: UnitOfWork, messages: Sequence[DecodedPayment]
    ) -> list[Outcome]:
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
            payments = [outcome.payment for outcome in outcomes if isinstance(outcome, Written)]
            work.payments.add(payments)
        self._breaker = self._breaker.wrote(len(payments))
        return outcomes

    def _retry_or_dead_letter(
        self, work: UnitOfWork, message: DecodedPayment, refusal: Rejected
    ) -> Outcome:
        if isinstance(refusal, PaymentIdTaken):
            try:
                return self._write_together(work, [message])[0]  # with a fresh id
            except Rejected as again:
                refusal = again
        self._breaker = self._breaker.refused(refusal)
        return DeadLettered(message.record, refusal)

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

    def _events(self, outcome: Outcome) -> list[ProducerRecord]:
        match outcome:
            case Written():
                return self._codec.events(outcome)
            case DeadLettered():
                return [self._codec.dead_letter(outcome, self._now())]
            case Duplicate():
                return []


def dead_letter_key(record: Record) -> str:
    """The claim of a dead letter: this very record, so that a corrected message can come again."""
    digest = sha256()
    partition, time = record.partition, record.timestamp or 0
    place = f"{partition.topic}\n{partition.number}\n{record.offset}\n{time}"
    for part in (place.encode(), record.key, record.value):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return DEAD_LETTER_KEY_PREFIX + digest.hexdigest()
