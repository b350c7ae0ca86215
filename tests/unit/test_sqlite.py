"""SQLite passes the contract of a payment database, and what is special about it."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.contracts.store import SharedStoreContract, StoreContract
from tests.sqlite import SqliteHarness


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
