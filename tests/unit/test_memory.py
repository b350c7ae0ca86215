"""Lists in place of topics pass the contracts of sources and publishers."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest
from attrs import define, field

from voltpay_adapters.testing.contracts.events import EventsContract, RefusalsContract
from voltpay_adapters.testing.contracts.source import SharedSourceContract
from voltpay_adapters.testing.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_core.ports import MessageSource
from voltpay_core.records import Headers, Partition, ProducerRecord


@define
class MemoryGroup:
    """Members that share out the partitions of one log."""

    log: MemoryLog = field(factory=MemoryLog)
    members: list[MemorySource] = field(factory=list)
    count: int = 3

    @property
    def partitions(self) -> Sequence[Partition]:
        return [Partition(self.log.topic, number) for number in range(self.count)]

    def produce(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"1",
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> None:
        self.log.append(
            value, key=key, partition=partition.number, timestamp=timestamp, headers=headers
        )

    def open(self) -> MemorySource:
        self.members.append(MemorySource(self.log))
        self._share()
        return self.members[-1]

    def close(self, source: MessageSource) -> None:
        self.members = [member for member in self.members if member is not source]
        self._share()

    def replace(self) -> None:
        self.log = MemoryLog()

    def add_partition(self) -> Partition:
        self.count += 1
        self._share()
        return self.partitions[-1]

    def _share(self) -> None:
        for number, member in enumerate(self.members):
            member.assign(self.partitions[number :: len(self.members)])


class TestMemorySource(SharedSourceContract):
    @pytest.fixture
    def harness(self) -> MemoryGroup:
        return MemoryGroup()


@define
class MemoryTopics:
    prompt: bool
    topics: Sequence[str] = ("payment_read_topic", "payment_email")
    longest: int = 100
    _events: list[ProducerRecord] = field(factory=list)
    _opened: list[MemoryPublisher] = field(factory=list)

    def open(self) -> MemoryPublisher:
        self._opened.append(MemoryPublisher(self._events, self.prompt, self.longest))
        return self._opened[-1]

    @contextmanager
    def outage(self, topic: str) -> Iterator[None]:
        for publisher in self._opened:
            publisher.broken = True
        yield

    def read(self, topic: str, count: int) -> Sequence[ProducerRecord]:
        return [event for event in self._events if event.topic == topic]


class TestMemoryEvents(EventsContract, RefusalsContract):
    @pytest.fixture(params=[True, False], ids=["prompt", "late"])
    def harness(self, request: pytest.FixtureRequest) -> MemoryTopics:
        return MemoryTopics(request.param)
