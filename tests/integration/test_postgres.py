"""PostgreSQL passes the contract of a payment database."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import timedelta

import pytest
from attrs import define, field
from tests.contracts.store import SharedStoreContract, fill
from tests.harness.databases import Database, connected
from tests.harness.tables import Tables, read_tables

from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.records import Partition


@define
class PostgresHarness:
    """A `StoreHarness` over a database of the test's own."""

    database: Database
    _opened: list[PostgresDatabase] = field(factory=list, init=False)

    def open(self, node_ids: Sequence[int] = NODE_IDS) -> PostgresDatabase:
        self._opened.append(PostgresDatabase(DatabaseUrl.parse(self.database.writer), node_ids))
        return self._opened[-1]

    def refuse(self, account_id: int) -> None:
        self._administer(
            f"""
            CREATE OR REPLACE FUNCTION write.refuse_{account_id}()
            RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN RAISE EXCEPTION 'not this account: %', NEW; END $$;
            CREATE OR REPLACE TRIGGER refuse_{account_id} BEFORE INSERT ON write.payment_core
            FOR EACH ROW WHEN (NEW.account_id = {account_id})
            EXECUTE FUNCTION write.refuse_{account_id}();
            """
        )

    def age_claims(self, by: timedelta) -> None:
        self._administer(f"UPDATE write.idempotency SET date = date - interval '{by}'")

    def age_outbox(self, by: timedelta) -> None:
        self._administer(f"UPDATE write.outbox SET created_at = created_at - interval '{by}'")

    def isolate(self, level: str) -> None:
        name = self.database.name
        self._administer(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")

    def tables(self) -> Tables:
        with connected(self.database.superuser) as connection:
            return read_tables(connection.run, "write.")

    def close(self) -> None:
        for database in self._opened:
            database.close()
        self._opened.clear()

    def _administer(self, sql: str) -> None:
        with connected(self.database.superuser) as connection:
            connection.run(sql)


class TestPostgres(SharedStoreContract):
    @pytest.fixture
    def harness(self, migrated_database: Database) -> Iterator[PostgresHarness]:
        with closing(PostgresHarness(migrated_database)) as harness:
            yield harness

    def test_a_unit_sees_what_is_committed_meanwhile(self, harness: PostgresHarness) -> None:
        """Whatever the server's default isolation, a take-over sees what it has waited for."""
        harness.isolate("serializable")
        place = Partition("payments", 0)
        former, owner = harness.open(), harness.open()
        with owner.begin() as taking:
            taking.outbox.pending([place])
            with former.begin() as leaving:
                (row,) = leaving.outbox.put({place: b"left"})
            assert [waiting.id for waiting in taking.outbox.pending([place])] == [row]

    @pytest.mark.parametrize(
        "sqlstate", ["25006", "57P01", "57P02", "57P03", "40001", "40P01", "55P03", "53300"]
    )
    def test_an_outage_ends_the_session(self, harness: PostgresHarness, sqlstate: str) -> None:
        """After any failure of the database the next unit has another connection."""
        database = harness.open()
        session, _ = database.connect()
        with pytest.raises(Unavailable, match=sqlstate) as caught, database.begin():
            session.run(f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$")
        assert not caught.value.halt
        with database.begin() as work:
            fill(work)
        another, _ = database.connect()
        assert another is not session

    def test_a_refused_payment_keeps_the_session(self, harness: PostgresHarness) -> None:
        """What is the message's fault costs no connection."""
        database = harness.open()
        session, _ = database.connect()
        with pytest.raises(Rejected), database.begin():
            session.attempt("DO $$ BEGIN RAISE 'not this payment'; END $$")
        kept, _ = database.connect()
        assert kept is session
