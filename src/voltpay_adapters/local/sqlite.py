"""SQLite as the payment database: one file, the same tables and the same guarantees."""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

from attrs import define, field, frozen

from voltpay_adapters.local.appending import cannot
from voltpay_adapters.snapshots import StoreState
from voltpay_core.errors import Fenced, Misconfigured, PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.payments import Payment
from voltpay_core.ports import OutboxRow, PurgeStep, UnitOfWork
from voltpay_core.records import Partition

MEMORY = ":memory:"
BUSY_TIMEOUT = 30.0

_NOW = "strftime('%Y-%m-%d %H:%M:%f', 'now')"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS payment_core (
    id text, amount text NOT NULL, status integer NOT NULL, currency text NOT NULL,
    account_id integer NOT NULL, type text NOT NULL, created_at text, PRIMARY KEY (id, created_at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payment_metadata (
    id text, created_at text, updated_at text NOT NULL, version integer NOT NULL,
    PRIMARY KEY (id, created_at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS payment_notes (
    id text, created_at text, external_ref_id text, comment text, PRIMARY KEY (id, created_at)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS idempotency (
    message_id text PRIMARY KEY, date text NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS outbox (
    id integer PRIMARY KEY AUTOINCREMENT, topic text NOT NULL, partition integer NOT NULL,
    payload blob NOT NULL, created_at text NOT NULL
);
CREATE TABLE IF NOT EXISTS partition_fence (
    topic text, partition integer, epoch integer NOT NULL, next_offset integer,
    PRIMARY KEY (topic, partition)
) WITHOUT ROWID;
"""


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


@frozen
class SqliteUnitOfWork:
    """One transaction over all the tables."""

    _path: str
    _connection: sqlite3.Connection
    node_id: int
    payments: SqlitePayments
    idempotency: SqliteIdempotency
    outbox: SqliteOutbox
    fence: SqliteFence
    positions: SqlitePositions

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block if it raises."""
        self._connection.execute("SAVEPOINT attempt")
        try:
            with _translate_errors(self._path):
                yield
        except BaseException:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK TO attempt")
            raise
        finally:
            if self._connection.in_transaction:
                self._connection.execute("RELEASE attempt")


@define
class SqliteDatabase:
    """A database file, created if missing, or ``:memory:``.

    Attributes:
        node_ids: The candidates; the first free one is leased.
        busy_timeout: Seconds to wait for another process's transaction.
    """

    _path: str
    _node_ids: Sequence[int] = NODE_IDS
    _busy_timeout: float = BUSY_TIMEOUT
    _connection: sqlite3.Connection | None = field(default=None, init=False)
    _lease: NodeLease | None = field(default=None, init=False)
    _identity: tuple[int, int] | None = field(default=None, init=False)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Open a unit of work."""
        with _translate_errors(self._path):
            connection = self.connect()
            self._check_file()
            connection.execute("BEGIN IMMEDIATE")
            # One time for the transaction: a claim must not be older than its outbox row.
            (now,) = connection.execute(f"SELECT {_NOW}").fetchone()
            try:
                yield SqliteUnitOfWork(
                    self._path,
                    connection,
                    self._lease.node_id if self._lease else 0,
                    SqlitePayments(connection),
                    SqliteIdempotency(connection, now),
                    SqliteOutbox(connection, now),
                    SqliteFence(connection),
                    SqlitePositions(connection),
                )
                connection.execute("COMMIT")
            finally:
                if connection.in_transaction:
                    with suppress(sqlite3.Error):  # the first error is the reason
                        connection.execute("ROLLBACK")

    def connect(self) -> sqlite3.Connection:
        """The connection; the first call opens it and creates the tables.

        Raises:
            Misconfigured: Another running process holds the node id, or the path is wrong.
            Unavailable: The file cannot be opened or read.
        """
        if self._connection is None:
            if self._path != MEMORY and self._lease is None:
                self._lease = NodeLease.take(Path(self._path), self._node_ids)
            with _translate_errors(self._path):
                self._connection = self._opened()
            self._identity = self._file_identity()
        return self._connection

    def close(self) -> None:
        """Close the connection and give the node id back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        if self._lease is not None:
            self._lease.release()
            self._lease = None

    def _opened(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            _no_uri(self._path), timeout=self._busy_timeout, isolation_level=None
        )
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.executescript(_SCHEMA)
        except BaseException:
            connection.close()
            raise
        return connection

    def _check_file(self) -> None:
        """SQLite would continue to write to a file that has no path any more."""
        if self._file_identity() != self._identity:
            raise Unavailable(
                f"SQLite: {self._path} was moved or removed while it was in use: put it back",
                halt=True,
            )

    def _file_identity(self) -> tuple[int, int] | None:
        try:
            found = None if self._path == MEMORY else Path(self._path).stat()
        except OSError:
            return -1, -1
        return found and (found.st_dev, found.st_ino)


def read_state(path: str) -> StoreState:
    """Read what the tables hold beside payments, without changing the file.

    Raises:
        Unavailable: The file does not exist yet, or cannot be read.
    """
    with read_only(path) as connection:
        rows, oldest = connection.execute(_AGES.format("created_at", "outbox")).fetchone()
        _, claim = connection.execute(_AGES.format("date", "idempotency")).fetchone()
        return StoreState(
            outbox_rows=rows,
            outbox_oldest=oldest,
            oldest_claim=claim,
            months_ahead={},
            clock_difference=0.0,
            node_ids=(),
        )


@contextmanager
def read_only(path: str) -> Iterator[sqlite3.Connection]:
    """A connection that cannot change the file, which must exist.

    Raises:
        Unavailable: The file does not exist yet, or cannot be read.
    """
    if path == MEMORY or not Path(path).exists():
        raise Unavailable(f"SQLite: {path} does not exist yet", code="no-database-file")
    with (
        _translate_errors(path),
        closing(sqlite3.connect(_no_uri(path), timeout=BUSY_TIMEOUT)) as connection,
    ):
        connection.execute("PRAGMA query_only = on")
        yield connection


_AGES = "SELECT count(*), coalesce((julianday('now') - julianday(min({0}))) * 86400, 0.0) FROM {1}"


def _no_uri(path: str) -> str:
    """A path that SQLite does not read as a URI, even if it begins with ``file:``."""
    return path if path == MEMORY or path.startswith("/") else f"./{path}"


@frozen
class NodeLease:
    """A node id, leased while its lock file beside the database stays locked (G7)."""

    node_id: int
    _lock: IO[bytes]

    @classmethod
    def take(cls, database: Path, node_ids: Sequence[int]) -> NodeLease:
        """Lease the first free one of these node ids.

        Raises:
            Misconfigured: Other running processes hold all of them, or the path is wrong.
            Unavailable: The disk is full.
        """
        if os.path.isdir(database):  # noqa: PTH112 - a Path raises where a name is too long
            raise Misconfigured(f"{database} is a folder: name a file for the database")
        for candidate in node_ids:
            try:
                lock = Path(f"{database}.node-{candidate:03}").open("ab")  # noqa: SIM115 - it is the lease
            except OSError as error:
                raise cannot(f"write beside {database}", error) from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                return cls(candidate, lock)
        raise Misconfigured(
            f"node id {node_ids[0]} is taken by another process that uses {database}",
            code="node-id-taken",
        )

    def release(self) -> None:
        """Release the node id."""
        self._lock.close()


@contextmanager
def _translate_errors(path: str) -> Iterator[None]:
    """Raise the core's failures in place of SQLite's errors."""
    try:
        yield
    except sqlite3.Error as error:
        raise _failure(path, error) from error


_WAYS_OUT = {
    "SQLITE_FULL": "the disk is full: make room",
    "SQLITE_IOERR": "the disk is full or fails: make room, or check the disk",
    "SQLITE_READONLY": "it cannot be written: check its permissions and its file system",
    "SQLITE_CANTOPEN": "it cannot be opened: check the file and its folder",
    "SQLITE_CORRUPT": "it is damaged: restore it",
    "SQLITE_NOTADB": "it is not an SQLite database: name another file",
    "SQLITE_ERROR": "its tables are not those of this program",
}


def _failure(path: str, error: sqlite3.Error) -> Exception:
    """The one table that maps an SQLite error to a kind of failure."""
    name = getattr(error, "sqlite_errorname", "")
    kind = "_".join(name.split("_")[:2])
    if name in {"SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE"}:
        return PaymentIdTaken("refused-by-database", "the payment id is taken", sqlstate="23505")
    if kind == "SQLITE_CONSTRAINT":
        return Rejected("refused-by-database", "a constraint rejects the payment", constraint=name)
    if kind in {"SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_PROTOCOL"}:
        return Unavailable(
            f"SQLite: {path}: another process keeps the database busy", code="database"
        )
    if isinstance(error, sqlite3.ProgrammingError):
        return error
    way_out = _WAYS_OUT.get(kind, "check the file and the disk")
    return Unavailable(f"SQLite: {path}: {name or type(error).__name__}: {way_out}", halt=True)
