"""SQLite as the payment database: one file, the same tables and the same guarantees."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from attrs import define, field, frozen

from voltpay_adapters.local.node_lease import NodeLease
from voltpay_adapters.local.sqlite_stores import (
    SqliteFence,
    SqliteIdempotency,
    SqliteOutbox,
    SqlitePayments,
    SqlitePositions,
)
from voltpay_adapters.snapshots import StoreState
from voltpay_core.errors import PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.ports import UnitOfWork

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
