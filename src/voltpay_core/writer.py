"""Writes commit units: claim, insert, bisect after a rejection, fill the outbox."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import chain

from attrs import define, field, frozen

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec, pack
from voltpay_core.errors import PaymentIdTaken, Rejected
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, Decoded, DecodedPayment, Duplicate, Outcome, Written
from voltpay_core.payments import DEAD_LETTER_KEY_PREFIX, Payment
from voltpay_core.ports import BeginUnitOfWork, UnitOfWork
from voltpay_core.records import Partition, ProducerRecord, Record


@frozen
class Committed:
    """A committed commit unit; its events are not published yet.

    Attributes:
        outcomes: One outcome for each record.
        events: The events and dead letters, in the order of publication (G3).
        rows: The ids of the outbox rows that hold the events until they are published (G2).
    """

    outcomes: Sequence[Outcome]
    events: Sequence[ProducerRecord]
    rows: frozenset[int]


@define
class PaymentWriter:
    """Writes commit units, each in one transaction and exactly once (G1).

    Attributes:
        begin: Opens the transaction.
        now: The current time, for dead letters.
        breaker: Stops the writer when the database rejects too many messages.
    """

    _begin: BeginUnitOfWork
    _codec: Codec
    _ids: PaymentIdGenerator
    _now: Callable[[], datetime]
    breaker: Breaker = field(factory=Breaker)

    def write(
        self, unit: Sequence[Decoded], epochs: Mapping[Partition, int], published: Collection[int]
    ) -> Committed:
        """Write one commit unit and delete the outbox rows that are already published.

        Raises:
            Fenced: A partition has a new owner; nothing is written.
            Unavailable: The database failed. The unit may be committed nevertheless: write it
                again, and the claims decide.
        """
        messages = [item for item in unit if isinstance(item, DecodedPayment)]
        letters = [item for item in unit if isinstance(item, DeadLettered)]
        with self._begin() as work:
            work.fence.hold({item.record.partition: epochs[item.record.partition] for item in unit})
            work.outbox.delete(published)
            written = self._write_or_bisect(work, messages) if messages else []
            outcomes = self._claim_letters(work, [*written, *letters])
            breaker = self.breaker.after(outcomes[: len(written)])  # without what comes again
            events = self._events_by_partition(outcomes)
            rows = work.outbox.put({partition: pack(made) for partition, made in events.items()})
        self.breaker = breaker  # only committed outcomes count
        return Committed(outcomes, list(chain.from_iterable(events.values())), rows)

    def _write_or_bisect(
        self, work: UnitOfWork, messages: Sequence[DecodedPayment]
    ) -> list[Outcome]:
        try:
            return self._write_together(work, messages)
        except Rejected as rejection:
            if len(messages) > 1:
                middle = len(messages) // 2
                return [
                    *self._write_or_bisect(work, messages[:middle]),
                    *self._write_or_bisect(work, messages[middle:]),
                ]
            return [self._retry_or_dead_letter(work, messages[0], rejection)]

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
            work.payments.add([each.payment for each in outcomes if isinstance(each, Written)])
        return outcomes

    def _retry_or_dead_letter(
        self, work: UnitOfWork, message: DecodedPayment, rejection: Rejected
    ) -> Outcome:
        if isinstance(rejection, PaymentIdTaken):
            try:
                return self._write_together(work, [message])[0]  # with a new id
            except Rejected as second:
                rejection = second
        return DeadLettered(message.record, rejection)

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

    def _events_by_partition(
        self, outcomes: Sequence[Outcome]
    ) -> dict[Partition, list[ProducerRecord]]:
        events: dict[Partition, list[ProducerRecord]] = {}
        for outcome in outcomes:
            if made := self._events(outcome):
                events.setdefault(outcome.record.partition, []).extend(made)
        return events

    def _events(self, outcome: Outcome) -> list[ProducerRecord]:
        match outcome:
            case Written():
                return self._codec.events(outcome)
            case DeadLettered():
                return [self._codec.dead_letter(outcome, self._now())]
            case Duplicate():
                return []


def dead_letter_key(record: Record) -> str:
    """The claim key of a dead letter: a digest of its record, not the message id.

    Therefore a corrected message with the same id can still become a payment.
    """
    digest = sha256()
    partition, time = record.partition, record.timestamp or 0
    origin = f"{partition.topic}\n{partition.number}\n{record.offset}\n{time}"
    for part in (origin.encode(), record.key, record.value):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return DEAD_LETTER_KEY_PREFIX + digest.hexdigest()
