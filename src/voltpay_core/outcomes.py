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
