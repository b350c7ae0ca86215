"""The rows of a payment database, the same for every adapter."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal

from attrs import field, frozen

from voltpay_core.codec import unpack
from voltpay_core.payments import Payment
from voltpay_core.records import Partition, ProducerRecord


@frozen
class CoreRow:
    """A payment."""

    id: str
    amount: Decimal
    status: int
    currency: str
    account_id: int
    type: str
    created_at: datetime


@frozen
class MetadataRow:
    """When a payment was written, and in which version."""

    id: str
    created_at: datetime
    updated_at: datetime
    version: int


@frozen
class NotesRow:
    """The texts of a payment."""

    id: str
    created_at: datetime
    external_ref_id: str | None
    comment: str | None


@frozen
class WaitingRow:
    """An outbox row: committed events that are perhaps not yet published."""

    id: int
    partition: Partition
    payload: bytes = field(repr=False)

    @property
    def events(self) -> list[ProducerRecord]:
        """The events that are packed into it."""
        return unpack(self.payload)


@frozen
class FenceRow:
    """The epoch of a partition, and the position of a source that keeps none."""

    epoch: int
    next_offset: int | None


@frozen
class Tables:
    """Every row of the database."""

    core: tuple[CoreRow, ...] = ()
    metadata: tuple[MetadataRow, ...] = ()
    notes: tuple[NotesRow, ...] = ()
    claims: tuple[str, ...] = ()
    outbox: tuple[WaitingRow, ...] = ()
    fence: Mapping[Partition, FenceRow] = field(factory=dict)


def rows_of(payment: Payment) -> tuple[CoreRow, MetadataRow, NotesRow]:
    """The three rows that a payment must have."""
    stated = payment.stated
    return (
        CoreRow(
            payment.id.text,
            stated.amount,
            stated.status.value,
            stated.currency,
            stated.account_id,
            stated.type,
            payment.created_at,
        ),
        MetadataRow(payment.id.text, payment.created_at, payment.created_at, payment.version),
        NotesRow(payment.id.text, payment.created_at, stated.external_ref_id, stated.comment),
    )
