"""PostgreSQL passes the contract of a payment database."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.databases import Database
from tests.harness.postgres import PostgresHarness
from tests.harness.proxy import Proxy
from tests.harness.rebuilding import ALL, as_rebuilt, event_id, rebuild_all, write

from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.testing.contracts.reader import ReaderContract
from voltpay_adapters.testing.contracts.store import RemoteStoreContract, fill, holds
from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.codec import Codec
from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.payments import NewPayment
from voltpay_core.records import Partition


def trimmed(payment: NewPayment) -> NewPayment:
    """The payment without zeros at the end of its amount, which PostgreSQL does not keep."""
    return evolve(payment, amount=Decimal(format(payment.amount.normalize(), "f")))


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

    def test_a_commit_without_an_answer_is_in_doubt(
        self, harness: PostgresHarness, migrated_database: Database
    ) -> None:
        """A lost answer to COMMIT is an outage; the claims tell that the unit is committed."""
        (host,) = DatabaseUrl.parse(migrated_database.writer).hosts
        with Proxy((host.name, host.port)) as proxy:
            url = migrated_database.writer.replace(f":{host.port}/", f":{proxy.port}/")
            with closing(PostgresDatabase(DatabaseUrl.parse(url))) as database:
                with pytest.raises(Unavailable) as caught, database.begin() as work:  # noqa: PT012
                    payment = fill(work)
                    proxy.swallow, proxy.cut_after = lambda said: b"COMMIT\0" in said, True
                assert not caught.value.halt
                assert proxy.swallowed == 1
                proxy.swallow = lambda _: False
                assert holds(harness.tables(), payment)
                with database.begin() as work:
                    assert work.idempotency.claim([payment.stated.message_id]) == set()

    def test_a_rejected_payment_keeps_the_session(self, harness: PostgresHarness) -> None:
        """What is the message's fault costs no connection."""
        database = harness.open()
        session, _ = database.connect()
        with pytest.raises(Rejected), database.begin():
            session.attempt("DO $$ BEGIN RAISE 'not this payment'; END $$")
        kept, _ = database.connect()
        assert kept is session

    @settings(max_examples=8)
    @given(stated=st.lists(new_payments().map(trimmed), max_size=8))
    def test_a_rebuilt_event_is_the_original_but_for_its_message_id(
        self, harness: PostgresHarness, stated: Sequence[NewPayment]
    ) -> None:
        """An amount without zeros at its end comes back in the same bytes, as all the rest does."""
        originals = write(harness.open(), Codec(), stated)
        found = {event_id(event): event for event in rebuild_all(harness.open_reader())}
        assert [found[event_id(each)] for each in originals] == list(map(as_rebuilt, originals))

    def test_a_reader_cannot_write(self, harness: PostgresHarness) -> None:
        """The server itself rejects every change by the session of a reader."""
        reader = harness.open_reader()
        assert reader.count(ALL) == 0
        assert reader._session is not None
        with pytest.raises(Unavailable, match="25006"):
            reader._session.run("DELETE FROM write.outbox")

    def test_a_reader_whose_connection_breaks_connects_again(
        self, harness: PostgresHarness
    ) -> None:
        """The call on the broken connection is an outage, and the next one has another."""
        reader = harness.open_reader()
        reader.count(ALL)
        assert reader._session is not None
        ((process,),) = reader._session.run("SELECT pg_backend_pid()")
        harness.end_session(process)
        with pytest.raises(Unavailable) as caught:
            reader.count(ALL)
        assert not caught.value.halt
        assert reader.count(ALL) == 0
