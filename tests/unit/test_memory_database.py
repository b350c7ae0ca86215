"""The database of the simulation keeps the contract of the real ones."""

from collections.abc import Iterator, Sequence
from datetime import timedelta

import pytest
from attrs import define, field

from voltpay_adapters.testing.contracts.reader import ReaderContract
from voltpay_adapters.testing.contracts.store import RemoteStoreContract
from voltpay_adapters.testing.database import MemoryDatabase, MemoryPaymentReader, MemoryTables
from voltpay_adapters.testing.tables import Tables
from voltpay_core.ids import NODE_IDS
from voltpay_core.ports import PaymentDatabase


@define
class MemoryHarness:
    """A `StoreHarness` of tables in memory."""

    memory: MemoryTables = field(factory=MemoryTables)
    _opened: list[MemoryDatabase] = field(factory=list, init=False)

    def open(self, node_ids: Sequence[int] = NODE_IDS) -> MemoryDatabase:
        self._opened.append(MemoryDatabase(self.memory, node_ids))
        return self._opened[-1]

    def open_reader(self) -> MemoryPaymentReader:
        return MemoryPaymentReader(self.memory)

    def refuse(self, account_id: int) -> None:
        self.memory.refused.add(account_id)

    def age_claims(self, by: timedelta) -> None:
        claims = self.memory.claims
        claims.update({key: at - by for key, at in claims.items()})

    def age_outbox(self, by: timedelta) -> None:
        for row, (partition, payload, created_at) in self.memory.outbox.items():
            self.memory.outbox[row] = (partition, payload, created_at - by)

    def disconnect(self, database: PaymentDatabase) -> None:
        database.close()

    def tables(self) -> Tables:
        return self.memory.read()

    def close(self) -> None:
        for database in self._opened:
            database.close()
        self._opened.clear()


class TestMemoryDatabase(RemoteStoreContract, ReaderContract):
    @pytest.fixture
    def harness(self) -> Iterator[MemoryHarness]:
        harness = MemoryHarness()
        yield harness
        harness.close()
