"""What the tables hold, read in one go: the same for SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from voltpay_adapters.testing.tables import (
    CoreRow,
    FenceRow,
    MetadataRow,
    NotesRow,
    Tables,
    WaitingRow,
)
from voltpay_core.records import Partition

Query = Callable[[str], Iterable[Sequence[Any]]]
"""Runs one SELECT and gives its rows."""


def read_tables(query: Query, schema: str = "") -> Tables:
    """Read everything; `schema` is ``write.`` where tables are kept in one."""

    def rows(columns: str, table: str, order: str) -> Iterable[Sequence[Any]]:
        return query(f"SELECT {columns} FROM {schema}{table} ORDER BY {order}")

    return Tables(
        tuple(
            CoreRow(i, Decimal(str(amount)), status, currency, account, kind, instant(created))
            for i, amount, status, currency, account, kind, created in rows(
                "id, amount, status, currency, account_id, type, created_at", "payment_core", "id"
            )
        ),
        tuple(
            MetadataRow(i, instant(created), instant(updated), version)
            for i, created, updated, version in rows(
                "id, created_at, updated_at, version", "payment_metadata", "id"
            )
        ),
        tuple(
            NotesRow(i, instant(created), external_ref_id, comment)
            for i, created, external_ref_id, comment in rows(
                "id, created_at, external_ref_id, comment", "payment_notes", "id"
            )
        ),
        tuple(key for (key,) in rows("message_id", "idempotency", "message_id")),
        tuple(
            WaitingRow(i, Partition(topic, number), bytes(payload))
            for i, topic, number, payload in rows("id, topic, partition, payload", "outbox", "id")
        ),
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
