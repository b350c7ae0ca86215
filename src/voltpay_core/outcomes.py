"""The outcomes of a record: first of decoding it, then of writing it (G6)."""

from __future__ import annotations

from attrs import frozen

from voltpay_core.errors import Rejected
from voltpay_core.payments import NewPayment, Payment
from voltpay_core.records import Record


@frozen
class DecodedPayment:
    """A record that holds a payment."""

    record: Record
    payment: NewPayment


@frozen
class Written:
    """The record became a payment."""

    record: Record
    payment: Payment


@frozen
class Duplicate:
    """The message id is claimed already, or the record is a dead letter already."""

    record: Record


@frozen
class DeadLettered:
    """The record goes to the dead-letter topic, with the reason."""

    record: Record
    reason: Rejected


@frozen
class WarmedUp:
    """A warm-up record: it is counted and dropped."""

    record: Record


Decoded = DecodedPayment | DeadLettered
"""The writer's input; warm-up records are dropped before."""

Outcome = Written | Duplicate | DeadLettered
"""The writer turns each record into exactly one of these."""


@frozen
class Tally:
    """The number of committed records with each outcome (G6), and of records to publish for them.

    If a batch is repeated after a failure, it is counted again, with its payments as duplicates.

    Attributes:
        events: Read events, e-mail events and dead letters.
    """

    written: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    warm_ups: int = 0
    events: int = 0

    @property
    def records(self) -> int:
        """The number of all records."""
        return self.written + self.duplicates + self.dead_letters + self.warm_ups

    def __add__(self, other: Tally) -> Tally:
        return Tally(
            self.written + other.written,
            self.duplicates + other.duplicates,
            self.dead_letters + other.dead_letters,
            self.warm_ups + other.warm_ups,
            self.events + other.events,
        )

    def __str__(self) -> str:
        counts = (
            f"written {self.written}, duplicates {self.duplicates},"
            f" dead letters {self.dead_letters}, events {self.events}"
        )
        return f"{counts}, warm-ups {self.warm_ups}" if self.warm_ups else counts
