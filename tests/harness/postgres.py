"""The store harness over a real PostgreSQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from attrs import define, field
from tests.harness.databases import Database, connected
from tests.harness.tables import read_tables

from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.reader import PostgresPaymentReader
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.testing.tables import Tables
from voltpay_core.ids import NODE_IDS
from voltpay_core.ports import PaymentDatabase

_EMPTY = """
TRUNCATE write.payment_core, write.payment_metadata, write.payment_notes,
         write.idempotency, write.outbox, write.partition_fence;
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tgname FROM pg_trigger WHERE tgname LIKE 'refuse_%'
                AND tgrelid = 'write.payment_core'::regclass LOOP
        EXECUTE format('DROP TRIGGER %I ON write.payment_core', name);
    END LOOP;
END $$;
"""


@define
class PostgresHarness:
    """A `StoreHarness` over a database of the test's own."""

    database: Database
    _opened: list[PostgresDatabase | PostgresPaymentReader] = field(factory=list, init=False)

    def open(self, node_ids: Sequence[int] = NODE_IDS) -> PostgresDatabase:
        database = PostgresDatabase(DatabaseUrl.parse(self.database.writer), node_ids)
        self._opened.append(database)
        return database

    def open_reader(self) -> PostgresPaymentReader:
        reader = PostgresPaymentReader(DatabaseUrl.parse(self.database.writer))
        self._opened.append(reader)
        return reader

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

    def disconnect(self, database: PaymentDatabase) -> None:
        """Have the server end the session, and wait until it is gone."""
        assert isinstance(database, PostgresDatabase)
        session, _ = database.connect()
        ((process,),) = session.run("SELECT pg_backend_pid()")
        self.end_session(process)

    def end_session(self, process: int) -> None:
        """Have the server end a session, and wait until it is gone."""
        self._administer(f"SELECT pg_terminate_backend({process}, 30000)")

    def isolate(self, level: str) -> None:
        name = self.database.name
        self._administer(f"ALTER DATABASE {name} SET default_transaction_isolation = '{level}'")

    def tables(self) -> Tables:
        with connected(self.database.superuser) as connection:
            return read_tables(connection.run, "write.")

    def empty(self) -> None:
        """Remove all rows and triggers; the next database object opens a connection of its own."""
        self.close()
        self._administer(_EMPTY)

    def close(self) -> None:
        for database in self._opened:
            database.close()
        self._opened.clear()

    def _administer(self, sql: str) -> None:
        with connected(self.database.superuser) as connection:
            connection.run(sql)
