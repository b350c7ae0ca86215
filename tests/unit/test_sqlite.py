"""SQLite passes the contract of a payment database, and what is special about it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.contracts.store import SharedStoreContract, StoreContract
from tests.support.sqlite import SqliteHarness

from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.messages import Partition


class TestSqliteFile(SharedStoreContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[SqliteHarness]:
        with closing(SqliteHarness(str(tmp_path / "voltpay.db"))) as harness:
            yield harness


class TestSqliteMemory(StoreContract):
    @pytest.fixture
    def harness(self) -> Iterator[SqliteHarness]:
        with closing(SqliteHarness()) as harness:
            yield harness


def test_an_abandoned_database_is_unavailable(tmp_path: Path) -> None:
    """A file that is no database halts the writer, in words that name no row."""
    (tmp_path / "voltpay.db").write_bytes(b"no database at all" * 1000)
    with closing(SqliteDatabase(str(tmp_path / "voltpay.db"))) as database:
        with pytest.raises(Unavailable, match="SQLite") as caught, database.begin():
            pytest.fail("it opened")
        assert caught.value.halt


def test_a_busy_database_heals(tmp_path: Path) -> None:
    """Another process's long transaction is an outage that ends, and halts nothing."""
    path = str(tmp_path / "voltpay.db")
    with closing(SqliteDatabase(path)) as one, closing(SqliteDatabase(path, patience=0)) as other:
        other.connect()
        with one.begin():
            with pytest.raises(Unavailable, match="busy") as caught, other.begin():
                pytest.fail("two transactions at once")
            assert not caught.value.halt
        with other.begin() as work:
            assert work.idempotency.claim(["m"]) == {"m"}


def test_a_renamed_column_halts(tmp_path: Path) -> None:
    """Schema drift is the world's fault: no message is blamed, and nothing is tried again."""
    with closing(SqliteDatabase(str(tmp_path / "voltpay.db"))) as database:
        database.connect().execute("ALTER TABLE idempotency RENAME COLUMN message_id TO other")
        with pytest.raises(Unavailable) as caught, database.begin() as work:
            work.idempotency.claim(["m"])
        assert caught.value.halt


def test_a_folder_that_is_not_there_is_bad_configuration(tmp_path: Path) -> None:
    """Where the database's folder does not exist, the message names the path."""
    database = SqliteDatabase(str(tmp_path / "none" / "voltpay.db"))
    with pytest.raises(Misconfigured, match="none"), database.begin():
        pytest.fail("it opened")


def test_a_mistake_is_no_outage(tmp_path: Path) -> None:
    """An error of our own making is neither the message's fault nor the world's."""
    with closing(SqliteDatabase(str(tmp_path / "voltpay.db"))) as database:
        connection = database.connect()
        with pytest.raises(sqlite3.ProgrammingError), database.begin():
            connection.execute("SELECT ?", ())


def test_a_unit_has_one_time(tmp_path: Path) -> None:
    """A claim is never older than the outbox row beside it, however long the unit takes."""
    with closing(SqliteDatabase(str(tmp_path / "voltpay.db"))) as database:
        clock = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')"
        with database.begin() as work:
            work.idempotency.claim(["m"])
            claimed = database.connect().execute(clock).fetchone()
            while database.connect().execute(clock).fetchone() == claimed:
                pass
            work.outbox.put({Partition("payments", 0): b"waits"})
        (times,) = database.connect().execute("SELECT date, created_at FROM idempotency, outbox")
    assert times[0] == times[1]
