"""SQLite passes the contract of a payment database; laws of SQLite alone."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from tests.harness.sqlite import SqliteHarness

from voltpay_adapters.local.sqlite import SqliteDatabase, read_state
from voltpay_adapters.testing.contracts.reader import ReaderContract
from voltpay_adapters.testing.contracts.store import SharedStoreContract, StoreContract
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.records import Partition


class TestSqliteFile(SharedStoreContract, ReaderContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[SqliteHarness]:
        with closing(SqliteHarness(str(tmp_path / "voltpay.db"))) as harness:
            yield harness


class TestSqliteMemory(StoreContract):
    @pytest.fixture
    def harness(self) -> Iterator[SqliteHarness]:
        with closing(SqliteHarness()) as harness:
            yield harness


def garbage(path: Path) -> None:
    path.write_bytes(b"no database at all" * 1000)


def damaged(path: Path) -> None:
    with closing(SqliteDatabase(str(path))) as database:
        database.connect()
    with path.open("r+b") as file:
        file.seek(100)  # behind the header
        file.write(b"\xff" * 4000)


def other_tables(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE idempotency (other)")


def read_only(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 1")
    path.with_name(f"{path.name}-wal").mkdir()


ABANDONED: dict[Callable[[Path], None], str] = {
    garbage: "SQLITE_NOTADB: it is not an SQLite database: name another file",
    damaged: "SQLITE_CORRUPT: it is damaged: restore it",
    other_tables: "SQLITE_ERROR: its tables are not those of this program",
    read_only: "SQLITE_CANTOPEN: it cannot be opened: check the file and its folder",
}


@pytest.mark.parametrize("make", ABANDONED)
def test_an_abandoned_database_is_unavailable(tmp_path: Path, make: Callable[[Path], None]) -> None:
    """An unusable file halts the writer; the error names the file and the kind, and no row."""
    path = tmp_path / "voltpay.db"
    make(path)
    with closing(SqliteDatabase(str(path))) as database:
        with pytest.raises(Unavailable) as caught, database.begin() as work:
            work.idempotency.claim(["m"])
        assert caught.value.halt
        assert str(caught.value) == f"SQLite: {path}: {ABANDONED[make]}"


@pytest.mark.parametrize(
    "name",
    [
        *("a b.db", "a?mode=ro", "a#b", "a%20b", "file:a.db", "file:a?mode=memory", "é€", "a'b\"c"),
        *(":memory:x", "-x", os.fsdecode(b"caf\xe9.db"), "x" * 200),
    ],
)
def test_a_path_is_taken_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Whatever characters a path has, the database is the file of that very name."""
    monkeypatch.chdir(tmp_path)
    for expected in ({"m"}, set()):
        with closing(SqliteDatabase(name)) as database, database.begin() as work:
            assert work.idempotency.claim(["m"]) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([name, f"{name}.node-000"])


@pytest.mark.parametrize("name", [".", "folder", "nowhere/x.db", "file/x.db", "x" * 300, "loop/x"])
def test_a_path_that_cannot_work_is_bad_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """If no database can be at a path, the error names the path."""
    monkeypatch.chdir(tmp_path)
    Path("folder").mkdir()
    Path("file").touch()
    Path("loop").symlink_to("loop")
    with pytest.raises(Misconfigured) as caught:
        SqliteDatabase(name).connect()
    assert name in str(caught.value)


@pytest.mark.parametrize("vanish", [Path.unlink, lambda path: path.rename(f"{path}.old")])
def test_a_database_that_vanishes_halts(tmp_path: Path, vanish: Callable[[Path], object]) -> None:
    """Nothing is written to a database file that was moved or removed."""
    path = tmp_path / "voltpay.db"
    with closing(SqliteDatabase(str(path))) as database:
        with database.begin() as work:
            work.idempotency.claim(["m"])
        vanish(path)
        with pytest.raises(Unavailable, match="was moved or removed") as caught, database.begin():
            pytest.fail("it began")
        assert caught.value.halt


def test_a_busy_database_heals(tmp_path: Path) -> None:
    """A long transaction of another process is an outage without `halt`."""
    path = str(tmp_path / "voltpay.db")
    with (
        closing(SqliteDatabase(path)) as one,
        closing(SqliteDatabase(path, busy_timeout=0)) as other,
    ):
        other.connect()
        with one.begin():
            with pytest.raises(Unavailable, match="busy") as caught, other.begin():
                pytest.fail("two transactions at once")
            assert not caught.value.halt
        with other.begin() as work:
            assert work.idempotency.claim(["m"]) == {"m"}


def test_a_renamed_column_halts(tmp_path: Path) -> None:
    """Schema drift is an infrastructure failure: no message is at fault, and nothing is retried."""
    with closing(SqliteDatabase(str(tmp_path / "voltpay.db"))) as database:
        database.connect().execute("ALTER TABLE idempotency RENAME COLUMN message_id TO other")
        with pytest.raises(Unavailable) as caught, database.begin() as work:
            work.idempotency.claim(["m"])
        assert caught.value.halt


def test_a_mistake_is_no_outage(tmp_path: Path) -> None:
    """A bug of the program is neither a rejection nor an infrastructure failure."""
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


def test_the_state_tells_what_waits_and_how_old_it_is(tmp_path: Path) -> None:
    """Rows and ages are those of the tables, also while a writer holds the file open."""
    path = str(tmp_path / "voltpay.db")
    with closing(SqliteHarness(path)) as harness:
        with harness.open().begin() as work:
            work.idempotency.claim(["m-1"])
            work.outbox.put({Partition("in", 0): b"", Partition("in", 1): b""})
        found = read_state(path)
        assert found.outbox_rows == 2
        assert 0 <= found.outbox_oldest < 60
        harness.age_outbox(timedelta(hours=2))
        harness.age_claims(timedelta(days=3))
        found = read_state(path)
        assert 7200 <= found.outbox_oldest < 7260
        assert 259_200 <= found.oldest_claim < 259_260


@pytest.mark.parametrize("make", [garbage, damaged, other_tables])
def test_a_state_that_cannot_be_read_is_a_failure(
    make: Callable[[Path], None], tmp_path: Path
) -> None:
    """A file that is no database of the writer is named, and is not changed."""
    path = tmp_path / "voltpay.db"
    make(path)
    before = path.read_bytes()
    with pytest.raises(Unavailable, match=str(path)):
        read_state(str(path))
    assert path.read_bytes() == before
