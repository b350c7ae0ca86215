"""The store harness over SQLite, a file or memory alike."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from attrs import define, field
from tests.harness.tables import read_tables

from voltpay_adapters.local.sqlite import MEMORY, SqliteDatabase
from voltpay_adapters.local.sqlite_reader import SqlitePaymentReader
from voltpay_adapters.testing.tables import Tables
from voltpay_core.ids import NODE_IDS


@define
class SqliteHarness:
    """A `StoreHarness` and what else tests ask of an SQLite database."""

    path: str = MEMORY
    durable: bool = True
    _opened: list[SqliteDatabase] = field(factory=list, init=False)

    def open(self, node_ids: Sequence[int] = NODE_IDS) -> SqliteDatabase:
        if self.path == MEMORY and self._opened:
            return self._opened[0]
        database = (
            SqliteDatabase(self.path, node_ids) if self.durable else _Hasty(self.path, node_ids)
        )
        self._opened.append(database)
        return database

    def open_reader(self) -> SqlitePaymentReader:
        return SqlitePaymentReader(self.path)

    def refuse(self, account_id: int) -> None:
        with self._connected() as connection:
            connection.execute(
                f"CREATE TRIGGER refuse_{account_id} BEFORE INSERT ON payment_core"
                f" WHEN NEW.account_id = {account_id}"
                " BEGIN SELECT RAISE(ABORT, 'not this account'); END"
            )

    def age_claims(self, by: timedelta) -> None:
        self._age("idempotency", "date", by)

    def age_outbox(self, by: timedelta) -> None:
        self._age("outbox", "created_at", by)

    def tables(self) -> Tables:
        with self._connected() as connection:
            return read_tables(lambda sql: connection.execute(sql).fetchall())

    def close(self) -> None:
        for database in self._opened:
            database.close()
        self._opened.clear()

    def _age(self, table: str, column: str, by: timedelta) -> None:
        with self._connected() as connection:
            connection.execute(
                f"UPDATE {table} SET {column} ="
                f" strftime('%Y-%m-%d %H:%M:%f', {column}, '-{by.total_seconds()} seconds')"
            )

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection that takes no node id; in memory there is just the one."""
        if self.path == MEMORY:
            yield self.open().connect()
            return
        if not Path(self.path).exists():
            with closing(SqliteDatabase(self.path)) as database:
                database.connect()
        with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
            yield connection


class _Hasty(SqliteDatabase):
    """One that does not wait for the disk: processes die in these tests, machines do not."""

    def connect(self) -> sqlite3.Connection:
        known = self._connection
        connection = super().connect()
        if known is None:
            connection.execute("PRAGMA synchronous = OFF")
        return connection
