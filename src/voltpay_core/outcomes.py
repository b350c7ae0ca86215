"""What a record can be, once decoded, and how it can end: exactly one of these for each (G6)."""

from __future__ import annotations

from attrs import frozen

from voltpay_core.errors import Rejected
from voltpay_core.payments import NewPayment, Payment
from voltpay_core.records import Record


@frozen
class DecodedPayment:
    """A record that states a payment."""

    record: Record
    payment: NewPayment


@frozen
class Written:
    """The record became a payment."""

    record: Record
    payment: Payment


@frozen
class Duplicate:
    """The record's message id is claimed already, or its dead letter is written already."""

    record: Record


@frozen
class DeadLettered:
    """The record goes to the dead-letter topic, with its reason."""

    record: Record
    reason: Rejected


@frozen
class WarmedUp:
    """The record only warms the path: it is counted and dropped."""

    record: Record


Decoded = DecodedPayment | DeadLettered
"""What decoding leaves for the writer; warm-up records never get that far."""

Outcome = Written | Duplicate | DeadLettered
"""What the writer makes of it."""
