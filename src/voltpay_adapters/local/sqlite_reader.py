"""Reads the written payments from SQLite, on a read-only connection."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from attrs import frozen

from voltpay_adapters.local.sqlite import read_only
from voltpay_core.ids import PaymentId
from voltpay_core.payments import Status, StoredPayment
from voltpay_core.ports import PaymentRange

_WITHIN = "created_at >= ? AND created_at < ? AND id > ? AND id < ?"
_COUNT = f"SELECT count(*) FROM payment_core WHERE {_WITHIN}"  # noqa: S608 - constants
_READ = f"""
    SELECT id, account_id, amount, currency, status, type, comment, external_ref_id,
           updated_at, version
    FROM (SELECT * FROM payment_core WHERE {_WITHIN} ORDER BY id LIMIT ?)
    JOIN payment_metadata USING (id, created_at)
    JOIN payment_notes USING (id, created_at)
    ORDER BY id
"""  # noqa: S608 - constants


@frozen
class SqlitePaymentReader:
    """A `PaymentReader` of a database file, which must exist. It leases no node id."""

    _path: str

    def read(self, payments: PaymentRange, limit: int) -> Sequence[StoredPayment]:
        """Return the first payments of the range in the order of their ids."""
        return [_payment(row) for row in self._run(_READ, *_bounds(payments), limit)]

    def count(self, payments: PaymentRange) -> int:
        """Return the number of payments in the range."""
        ((count,),) = self._run(_COUNT, *_bounds(payments))
        return int(count)

    def close(self) -> None:
        """Nothing stays open."""

    def _run(self, sql: str, *parameters: str | int) -> list[Any]:
        with read_only(self._path) as connection:
            return connection.execute(sql, parameters).fetchall()


def _bounds(payments: PaymentRange) -> tuple[str, str, str, str]:
    return _text(payments.start), _text(payments.end), *payments.ids


def _text(instant: datetime) -> str:
    """A time as the tables have it; their order as texts is that of the times."""
    return instant.astimezone(UTC).isoformat()


def _payment(row: Any) -> StoredPayment:
    payment_id, account_id, amount, currency, status, kind, comment, ref, updated_at, version = row
    return StoredPayment(
        PaymentId.parse(payment_id),
        account_id,
        Decimal(amount),
        currency,
        Status(status),
        kind,
        comment,
        ref,
        datetime.fromisoformat(updated_at),
        version,
    )
