"""For tests of services and of other adapters: doubles in memory, faults and sample payments.

`voltpay_adapters.testing.contracts` has the tests that every adapter passes.
"""

from voltpay_adapters.testing.database import MemoryDatabase, MemoryPaymentReader, MemoryTables
from voltpay_adapters.testing.faults import (
    Crash,
    Fault,
    Faults,
    FaultyDatabase,
    FaultyPublisher,
    FaultySource,
    crash,
    unavailable,
)
from voltpay_adapters.testing.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_adapters.testing.tables import Tables

__all__ = [
    "Crash",
    "Fault",
    "Faults",
    "FaultyDatabase",
    "FaultyPublisher",
    "FaultySource",
    "MemoryDatabase",
    "MemoryLog",
    "MemoryPaymentReader",
    "MemoryPublisher",
    "MemorySource",
    "MemoryTables",
    "Mix",
    "Tables",
    "crash",
    "samples",
    "unavailable",
]
