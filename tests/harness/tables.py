"""What the tables hold, read in one go: the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import field, frozen

from voltpay_core.codec import unpack
from voltpay_core.payments import Payment
from voltpay_core.records import Partition, ProducerRecord

Query = Callable[[str], Iterable[Sequence[Any]]]
"""Runs one SELECT and gives its rows."""


@frozen
class CoreRow:
    id: str
    amount: Decimal
    status: int
    currency: str
    account_id: int
    type: str
    created_at: datetime


@frozen
class MetadataRow:
    id: str
    created_at: datetime
    updated_at: datetime
    version: int


@frozen
class NotesRow:
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
        return unpack(self.payload)


@frozen
class FenceRow:
    epoch: int
    next_offset: int | None


def _tuple(rows: Iterable[Any]) -> tuple[Any, ...]:
    return tuple(rows)


@frozen
class Tables:
    """Every row of the database."""

    core: tuple[CoreRow, ...] = field(default=(), converter=_tuple)
    metadata: tuple[MetadataRow, ...] = field(default=(), converter=_tuple)
    notes: tuple[NotesRow, ...] = field(default=(), converter=_tuple)
    claims: tuple[str, ...] = field(default=(), converter=_tuple)
    outbox: tuple[WaitingRow, ...] = field(default=(), converter=_tuple)
    fence: Mapping[Partition, FenceRow] = field(factory=dict)


def read_tables(query: Query, schema: str = "") -> Tables:
    """Read everything; `schema` is ``write.`` where tables are kept in one."""

    def rows(columns: str, table: str, order: str) -> Iterable[Sequence[Any]]:
        return query(f"SELECT {columns} FROM {schema}{table} ORDER BY {order}")

    return Tables(
        [
            CoreRow(i, Decimal(str(amount)), status, currency, account, kind, instant(created))
            for i, amount, status, currency, account, kind, created in rows(
                "id, amount, status, currency, account_id, type, created_at", "payment_core", "id"
            )
        ],
        [
            MetadataRow(i, instant(created), instant(updated), version)
            for i, created, updated, version in rows(
                "id, created_at, updated_at, version", "payment_metadata", "id"
            )
        ],
        [
            NotesRow(i, instant(created), external_ref_id, comment)
            for i, created, external_ref_id, comment in rows(
                "id, created_at, external_ref_id, comment", "payment_notes", "id"
            )
        ],
        [key for (key,) in rows("message_id", "idempotency", "message_id")],
        [
            WaitingRow(i, Partition(topic, number), bytes(payload))
            for i, topic, number, payload in rows("id, topic, partition, payload", "outbox", "id")
        ],
        {
            Partition(topic, number): FenceRow(epoch, position)
            for topic, number, epoch, position in rows(
                "topic, partition, epoch, next_offset", "partition_fence", "topic, partition"
            )
        },
    )


def instant(value: datetime | str) -> datetime:
    """A point in time as the database gave it, in UTC."""
    return (datetime.fromisoformat(value) if isinstance(value, str) else value).astimezone(UTC)


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
