"""PostgreSQL passes the contract of a payment database."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from tests.harness.databases import Database
from tests.harness.postgres import PostgresHarness

from voltpay_adapters.testing.contracts.reader import ReaderContract
from voltpay_adapters.testing.contracts.store import RemoteStoreContract, fill
from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.records import Partition


class TestPostgres(RemoteStoreContract, ReaderContract):
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

    def test_a_rejected_payment_keeps_the_session(self, harness: PostgresHarness) -> None:
        """What is the message's fault costs no connection."""
        database = harness.open()
        session, _ = database.connect()
        with pytest.raises(Rejected), database.begin():
            session.attempt("DO $$ BEGIN RAISE 'not this payment'; END $$")
        kept, _ = database.connect()
        assert kept is session
