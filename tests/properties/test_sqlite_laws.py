"""The laws over SQLite in memory."""

from collections.abc import Iterator

import pytest
from hypothesis import settings
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import Fresh
from tests.properties.core import core_laws


class TestSqliteLaws(core_laws(settings())):  # type: ignore[misc] # made for its settings
    @pytest.fixture
    def fresh(self) -> Iterator[Fresh]:
        opened: list[SqliteHarness] = []

        def make() -> SqliteHarness:
            while opened:
                opened.pop().close()
            opened.append(SqliteHarness())
            return opened[-1]

        yield make
        opened[-1].close()
