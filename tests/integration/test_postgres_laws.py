"""The laws over PostgreSQL, on fewer examples."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import settings
from tests.harness.databases import Database, connected
from tests.harness.world import Fresh
from tests.integration.test_postgres import PostgresHarness
from tests.properties.core import core_laws

FEW = settings(max_examples=8)

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


class TestPostgresLaws(core_laws(FEW)):
    @pytest.fixture
    def fresh(self, migrated_database: Database) -> Iterator[Fresh]:
        with closing(PostgresHarness(migrated_database)) as harness:

            def make() -> PostgresHarness:
                harness.close()
                with connected(migrated_database.superuser) as connection:
                    connection.run(_EMPTY)
                return harness

            yield make
