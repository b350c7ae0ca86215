"""The database of the simulation keeps the contract of the real ones."""

from collections.abc import Iterator

import pytest
from tests.contracts.store import SharedStoreContract
from tests.harness.simulation.database import MemoryHarness


class TestMemoryDatabase(SharedStoreContract):
    @pytest.fixture
    def harness(self) -> Iterator[MemoryHarness]:
        harness = MemoryHarness()
        yield harness
        harness.close()
