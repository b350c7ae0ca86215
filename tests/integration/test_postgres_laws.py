"""The laws over PostgreSQL, on fewer examples."""

from collections.abc import Iterator
from contextlib import closing

import pytest
from hypothesis import settings
from tests.harness.databases import Database
from tests.harness.postgres import PostgresHarness
from tests.harness.world import Fresh
from tests.properties.core import core_laws

FEW = settings(max_examples=8)


class TestPostgresLaws(core_laws(FEW)):  # type: ignore[misc] # made for its settings
    @pytest.fixture
    def fresh(self, migrated_database: Database) -> Iterator[Fresh]:
        with closing(PostgresHarness(migrated_database)) as harness:

            def make() -> PostgresHarness:
                harness.empty()
                return harness

            yield make
