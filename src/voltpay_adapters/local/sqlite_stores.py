"""The tables behind the ports, in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta

from attrs import frozen

from voltpay_core.errors import Fenced
from voltpay_core.payments import Payment
from voltpay_core.ports import OutboxRow, PurgeStep
from voltpay_core.records import Partition


@frozen
class SqlitePayments:
    """The payment tables."""

    _connection: sqlite3.Connection

    def add(self, payments: Sequence[Payment]) -> None:
        """Write these payments into all three tables."""
        run = self._connection.executemany
        run(
            "INSERT INTO payment_core VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                (
                    payment.id.text,
                    str(payment.stated.amount),
                    payment.stated.status.value,
                    payment.stated.currency,
                    payment.stated.account_id,
                    payment.stated.type,
                    payment.created_at.isoformat(),
                )
                for payment in payments
            ),
        )
        run(
            "INSERT INTO payment_metadata VALUES (?, ?, ?, ?)",
            (
                (p.id.text, p.created_at.isoformat(), p.created_at.isoformat(), p.version)
                for p in payments
            ),
        )
        run(
            "INSERT INTO payment_notes VALUES (?, ?, ?, ?)",
            (
                (p.id.text, p.created_at.isoformat(), p.stated.external_ref_id, p.stated.comment)
                for p in payments
            ),
        )


@frozen
class SqliteIdempotency:
    """The claims."""

    _connection: sqlite3.Connection
    _now: str

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim the keys, and return those that were free."""
        rows = self._connection.execute(
            "INSERT INTO idempotency SELECT value, ? FROM json_each(?) WHERE true"
            " ON CONFLICT DO NOTHING RETURNING message_id",
            (self._now, json.dumps(keys)),
        )
        return {key for (key,) in rows}

    def purge(self, older_than: timedelta, limit: int, start: int = 0) -> PurgeStep:
        """Delete at most `limit` claims older than `older_than`; each step searches all claims."""
        deleted = self._connection.execute(
            "DELETE FROM idempotency WHERE message_id IN"
            " (SELECT message_id FROM idempotency WHERE date < ? LIMIT ?)",
            (self._cutoff(older_than), limit),
        ).rowcount
        return PurgeStep(deleted, start if deleted == limit else None)

    def expired(self, older_than: timedelta) -> int:
        """The number of claims older than `older_than`."""
        (count,) = self._connection.execute(
            "SELECT count(*) FROM idempotency WHERE date < ?", (self._cutoff(older_than),)
        ).fetchone()
        return int(count)

    def _cutoff(self, older_than: timedelta) -> str:
        (cutoff,) = self._connection.execute(
            "SELECT min(strftime('%Y-%m-%d %H:%M:%f', 'now', ?), coalesce(min(created_at), '9999'))"
            " FROM outbox",
            (f"-{older_than.total_seconds()} seconds",),
        ).fetchone()
        return str(cutoff)


@frozen
class SqliteOutbox:
    """Committed events until they are published."""

    _connection: sqlite3.Connection
    _now: str

    def put(self, payloads: Mapping[Partition, bytes]) -> frozenset[int]:
        """Add one row for each source partition."""
        return frozenset(
            int(
                self._connection.execute(
                    "INSERT INTO outbox (topic, partition, payload, created_at)"
                    " VALUES (?, ?, ?, ?) RETURNING id",
                    (partition.topic, partition.number, payload, self._now),
                ).fetchone()[0]
            )
            for partition, payload in payloads.items()
        )

    def pending(self, partitions: Collection[Partition]) -> list[OutboxRow]:
        """All rows of these partitions in order."""
        rows = self._connection.execute(
            "SELECT id, payload, topic, partition FROM outbox ORDER BY id"
        )
        return [
            OutboxRow(row_id, payload)
            for row_id, payload, topic, number in rows
            if Partition(topic, number) in partitions
        ]

    def delete(self, ids: Collection[int]) -> None:
        """Delete these rows."""
        self._connection.executemany("DELETE FROM outbox WHERE id = ?", ((i,) for i in ids))


@frozen
class SqliteFence:
    """The epochs; an open transaction locks the whole database."""

    _connection: sqlite3.Connection

    def hold(self, epochs: Mapping[Partition, int]) -> None:
        """Compare the epochs with the database's."""
        bumped = {p for p, epoch in epochs.items() if self._epoch(p) != epoch}
        if bumped:
            raise Fenced(bumped, "another process has bumped their epochs", code="epoch-bumped")

    def bump_epochs(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Increase the epochs by one."""
        for partition in partitions:
            self._connection.execute(
                "INSERT INTO partition_fence VALUES (?, ?, 1, NULL)"
                " ON CONFLICT DO UPDATE SET epoch = epoch + 1",
                (partition.topic, partition.number),
            )
        return {partition: self._epoch(partition) or 0 for partition in partitions}

    def _epoch(self, partition: Partition) -> int | None:
        row = self._connection.execute(
            "SELECT epoch FROM partition_fence WHERE topic = ? AND partition = ?",
            (partition.topic, partition.number),
        ).fetchone()
        return row[0] if row else None


@frozen
class SqlitePositions:
    """The read positions of sources that cannot store their own."""

    _connection: sqlite3.Connection

    def load(self, partition: Partition) -> int | None:
        """Return the next offset of a partition."""
        row = self._connection.execute(
            "SELECT next_offset FROM partition_fence WHERE topic = ? AND partition = ?",
            (partition.topic, partition.number),
        ).fetchone()
        return row[0] if row else None

    def save(self, partition: Partition, position: int) -> None:
        """Set the next offset of a partition."""
        self._connection.execute(
            "INSERT INTO partition_fence VALUES (?, ?, 0, ?)"
            " ON CONFLICT DO UPDATE SET next_offset = excluded.next_offset",
            (partition.topic, partition.number, position),
        )
