"""The program with the statements and outbox rows of the last release, beside those of today.

What one version of the writer leaves for another in the database is here as version 0.1.0 has it:
the statements of ``voltpay_adapters/postgres/stores.py``, and the events of an outbox row. A change
of the code changes nothing here. After a release, replace this by what that release has.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec
import zstandard
from attrs import frozen

from voltpay_adapters.postgres import database
from voltpay_adapters.postgres.session import Session
from voltpay_core import relaying, writer
from voltpay_core.errors import Fenced
from voltpay_core.payments import Payment
from voltpay_core.ports import OutboxRow
from voltpay_core.records import Partition, ProducerRecord

LAST_CHANGESET = "014"
"""The schema of the release ends with this changeset."""

_encode = msgspec.json.Encoder().encode


def install() -> None:
    """Let the writer of this process use what is here."""
    stores = (
        PostgresPayments,
        PostgresIdempotency,
        PostgresOutbox,
        PostgresFence,
        PostgresPositions,
    )
    for store in stores:
        setattr(database, store.__name__, store)
    for module, function in ((writer, pack), (relaying, unpack)):
        setattr(module, function.__name__, function)


class _Event(msgspec.Struct):
    topic: str
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    partition: int | None = None
    timestamp: int | None = None


_unpack = msgspec.msgpack.Decoder(list[_Event]).decode


def pack(events: Sequence[ProducerRecord]) -> bytes:
    """The events of an outbox row, before it is compressed."""
    return msgspec.msgpack.encode(
        [_Event(e.topic, e.key, e.value, e.headers, e.partition, e.timestamp) for e in events]
    )


def unpack(packed: bytes) -> list[ProducerRecord]:
    """What `pack` packed."""
    return [
        ProducerRecord(e.topic, e.key, e.value, e.headers, e.partition, e.timestamp)
        for e in _unpack(packed)
    ]


def compress(packed: bytes) -> bytes:
    """An outbox row as it is stored."""
    return zstandard.compress(packed, level=1)


def decompress(payload: bytes) -> bytes:
    """What `compress` compressed."""
    return zstandard.decompress(payload)


def _json(rows: Any) -> str:
    return _encode(rows).decode()


def _json_partitions(partitions: Collection[Partition]) -> str:
    return _json([{"topic": p.topic, "partition": p.number} for p in partitions])


@frozen
class PostgresPayments:
    """The payment tables."""

    _session: Session

    def add(self, payments: Sequence[Payment]) -> None:
        """Write these payments into all three tables."""
        self._session.attempt(
            """
            WITH new AS MATERIALIZED (
                SELECT * FROM json_to_recordset(:payments::json) AS payment(
                    id varchar, amount numeric, status smallint, currency varchar,
                    account_id bigint, type varchar, created_at timestamptz, version integer,
                    external_ref_id varchar, comment varchar)
            ), core AS (
                INSERT INTO write.payment_core
                    (id, amount, status, currency, account_id, type, created_at)
                SELECT id, amount, status, currency, account_id, type, created_at FROM new
            ), metadata AS (
                INSERT INTO write.payment_metadata (id, created_at, updated_at, version)
                SELECT id, created_at, created_at, version FROM new
            )
            INSERT INTO write.payment_notes (id, created_at, external_ref_id, comment)
            SELECT id, created_at, external_ref_id, comment FROM new
            """,
            payments=_json([_row(payment) for payment in payments]),
        )


def _row(payment: Payment) -> dict[str, Any]:
    stated = payment.stated
    return {
        "id": payment.id.text,
        "amount": stated.amount,
        "status": stated.status.value,
        "currency": stated.currency,
        "account_id": stated.account_id,
        "type": stated.type,
        "created_at": payment.created_at,
        "version": payment.version,
        "external_ref_id": stated.external_ref_id,
        "comment": stated.comment,
    }


@frozen
class PostgresIdempotency:
    """The claims."""

    _session: Session

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim the keys, and return those that were free."""
        rows = self._session.attempt(
            "INSERT INTO write.idempotency (message_id)"
            " SELECT key FROM json_array_elements_text(:keys::json) AS key"
            " ON CONFLICT DO NOTHING RETURNING message_id",
            keys=_json(keys),
        )
        return {key for (key,) in rows}

    def purge(self, older_than: timedelta, limit: int) -> int:
        """Delete at most `limit` claims older than `older_than`."""
        ((count,),) = self._session.run(
            f"""
            WITH gone AS (
                DELETE FROM write.idempotency WHERE ctid = ANY(ARRAY(
                    SELECT ctid FROM write.idempotency WHERE {_EXPIRED} LIMIT :most))
                RETURNING 1)
            SELECT count(*) FROM gone
            """,
            age=older_than.total_seconds(),
            most=limit,
        )
        return int(count)

    def expired(self, older_than: timedelta) -> int:
        """The number of claims older than `older_than`."""
        ((count,),) = self._session.run(
            f"SELECT count(*) FROM write.idempotency WHERE {_EXPIRED}",
            age=older_than.total_seconds(),
        )
        return int(count)


_EXPIRED = """
date < least(now() - make_interval(secs => :age),
             (SELECT min(created_at) FROM write.outbox))
"""


@frozen
class PostgresOutbox:
    """Committed events until they are published."""

    _session: Session

    def put(self, payloads: Mapping[Partition, bytes]) -> frozenset[int]:
        """Add one row for each source partition."""
        if not payloads:
            return frozenset()
        new = [
            {
                "topic": p.topic,
                "partition": p.number,
                "payload": b64encode(compress(packed)).decode(),
            }
            for p, packed in payloads.items()
        ]
        rows = self._session.run(
            "INSERT INTO write.outbox (topic, partition, payload)"
            " SELECT topic, partition, decode(payload, 'base64') FROM json_to_recordset(:new::json)"
            " AS fresh(topic text, partition integer, payload text) RETURNING id",
            new=_json(new),
        )
        return frozenset(row_id for (row_id,) in rows)

    def pending(self, partitions: Collection[Partition]) -> list[OutboxRow]:
        """All rows of these partitions in order."""
        rows = self._session.run(
            "SELECT id, payload FROM write.outbox JOIN json_to_recordset(:partitions::json)"
            " AS wanted(topic text, partition integer) USING (topic, partition) ORDER BY id",
            partitions=_json_partitions(partitions),
        )
        return [OutboxRow(row_id, decompress(payload)) for row_id, payload in rows]

    def delete(self, ids: Collection[int]) -> None:
        """Delete these rows."""
        if ids:
            self._session.run(
                "DELETE FROM write.outbox WHERE id = ANY(:ids::bigint[])",
                ids="{" + ",".join(map(str, ids)) + "}",
            )


@frozen
class PostgresFence:
    """The epochs, held by row locks."""

    _session: Session

    def hold(self, epochs: Mapping[Partition, int]) -> None:
        """Lock the rows for share and compare the epochs."""
        rows = self._session.run(
            "SELECT topic, partition, epoch FROM write.partition_fence"
            " JOIN json_to_recordset(:partitions::json) AS wanted(topic text, partition integer)"
            " USING (topic, partition) ORDER BY topic, partition FOR SHARE OF partition_fence",
            partitions=_json_partitions(epochs.keys()),
        )
        found = {Partition(topic, number): epoch for topic, number, epoch in rows}
        bumped = {partition for partition, epoch in epochs.items() if found.get(partition) != epoch}
        if bumped:
            raise Fenced(bumped, "another process has bumped their epochs", code="epoch-bumped")

    def bump_epochs(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Increase the epochs by one."""
        rows = self._session.run(
            "INSERT INTO write.partition_fence AS fence (topic, partition, epoch)"
            " SELECT topic, partition, 1 FROM json_to_recordset(:partitions::json)"
            " AS wanted(topic text, partition integer) ORDER BY topic, partition"
            " ON CONFLICT (topic, partition) DO UPDATE SET epoch = fence.epoch + 1"
            " RETURNING topic, partition, epoch",
            partitions=_json_partitions(partitions),
        )
        return {Partition(topic, number): epoch for topic, number, epoch in rows}


@frozen
class PostgresPositions:
    """The read positions of sources that cannot store their own."""

    _session: Session

    def load(self, partition: Partition) -> int | None:
        """The next offset."""
        rows = self._session.run(
            "SELECT next_offset FROM write.partition_fence"
            " WHERE topic = :topic AND partition = :number",
            topic=partition.topic,
            number=partition.number,
        )
        return rows[0][0] if rows else None

    def save(self, partition: Partition, position: int) -> None:
        """Set the next offset."""
        self._session.run(
            "INSERT INTO write.partition_fence (topic, partition, epoch, next_offset)"
            " VALUES (:topic, :number, 0, :position)"
            " ON CONFLICT (topic, partition) DO UPDATE SET next_offset = excluded.next_offset",
            topic=partition.topic,
            number=partition.number,
            position=position,
        )
