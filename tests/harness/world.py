"""A small world to try the writer in: one topic, one database, and processes that come and go."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol, TypeVar

from attrs import define, field, frozen
from tests.harness.checker import BATCHES_IN_HAND, History, violations

from voltpay_adapters.testing.contracts.store import StoreHarness
from voltpay_adapters.testing.faults import (
    Crash,
    Faults,
    FaultyPublisher,
    FaultySource,
    faulty_begin,
)
from voltpay_adapters.testing.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_adapters.testing.tables import Tables
from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.notices import Observer, ignore
from voltpay_core.outcomes import Tally
from voltpay_core.ports import PaymentDatabase, Retry
from voltpay_core.records import ProducerRecord, Record

T = TypeVar("T")

UNBREAKABLE = 10**9


@frozen
class RunOptions:
    """How a process goes about its work."""

    batch_size: int = 1000
    commit_unit: int | None = None
    late_events: bool = False
    overlap: int = 1
    breaker: int = UNBREAKABLE


@define
class Patience:
    """A stop flag that fails where a run comes to no end."""

    turns: int = 10_000

    def __call__(self) -> bool:
        """Never stop."""
        self.turns -= 1
        if self.turns < 0:
            raise AssertionError("it comes to no end")
        return False


class Fresh(Protocol):
    """Makes empty databases."""

    def __call__(self) -> StoreHarness:
        """An empty database; what an earlier call made is gone."""


@define
class World:
    """What outlives every process."""

    harness: StoreHarness
    log: MemoryLog = field(factory=MemoryLog)
    published: list[ProducerRecord] = field(factory=list)
    refused: frozenset[int] = frozenset()
    codec: Codec = field(factory=Codec)
    incidents: int = 0
    _largest_batch: int = 0
    _ticks: Iterator[int] = field(factory=count)
    _start: datetime = field(factory=lambda: datetime.now(UTC))
    _database: PaymentDatabase = field(init=False)

    def __attrs_post_init__(self) -> None:
        for account_id in self.refused:
            self.harness.refuse(account_id)
        self._database = self.harness.open()

    def produce(self, records: Iterable[Record]) -> None:
        """Append the records to their partitions."""
        for record in records:
            self.log.append(
                record.value,
                key=record.key,
                partition=record.partition.number,
                timestamp=record.timestamp,
                headers=record.headers,
            )

    def process(
        self,
        way: RunOptions,
        *,
        source: MemorySource | None = None,
        faults: Faults | None = None,
        notify: Observer = ignore,
        retry: Retry | None = None,
        timer: Callable[[], float] = time.monotonic,
    ) -> PaymentConsumer:
        """A process; without a source of its own it has all partitions."""
        faults = faults or Faults()
        self._largest_batch = max(self._largest_batch, way.batch_size)
        if source is None:
            source = MemorySource(self.log)
            source.assign(self.log.partitions)
        begin = faulty_begin(self._database.begin, faults)
        events = MemoryPublisher(self.published, prompt=not way.late_events)
        return PaymentConsumer(
            source=FaultySource(source, faults),
            begin=begin,
            publisher=FaultyPublisher(events, faults),
            codec=self.codec,
            ids=PaymentIdGenerator(self._clock),
            now=self.now,
            breaker=Breaker(way.breaker),
            retry=retry or self.patiently,
            batch_size=way.batch_size,
            overlap=way.overlap,
            commit_unit=way.commit_unit,
            notify=notify,
            timer=timer,
        )

    def run(self, way: RunOptions, faults: Faults | None = None) -> Tally:
        """Process everything; a process that dies is replaced by one to which nothing happens."""
        try:
            return self.process(way, faults=faults).run(Patience(), until_drained=True)
        except Crash:
            self.incidents += 1
            return self.run(way)

    def patiently(self, act: Callable[[], T]) -> T:
        """Try again until it works: the faults of a plan come to an end."""
        for _ in range(100):
            try:
                return act()
            except Unavailable as failure:
                if failure.halt:
                    raise
                self.incidents += 1
        raise AssertionError("the world does not heal")

    def now(self) -> datetime:
        """The time of day, which goes on by a millisecond now and then."""
        return self._start + timedelta(milliseconds=next(self._ticks) // 3)

    def _clock(self) -> int:
        return int(self.now().timestamp() * 1000)

    def tables(self) -> Tables:
        return self.harness.tables()

    def history(self) -> History:
        """Everything that can be known afterwards."""
        return History(
            produced=[record for records in self.log.partitions.values() for record in records],
            tables=self.tables(),
            published=list(self.published),
            acknowledged=dict(self.log.acknowledged),
            codec=self.codec,
            refused=self.refused,
            most_repeats=self.incidents * BATCHES_IN_HAND * self._largest_batch,
        )

    def violations(self) -> list[str]:
        """What is wrong, if anything is."""
        return violations(self.history())
