"""Kafka passes the contracts of sources and publishers."""

import secrets
from collections.abc import Iterator, Sequence
from contextlib import closing

import pytest
from attrs import define, field
from kafka import TopicPartition
from tests.contracts.events import EventsContract, EventsHarness
from tests.contracts.source import SharedSourceContract
from tests.stack.kafka import KafkaAddress

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.events import KafkaEvents
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import Topic, create
from voltpay_core.messages import Event, Headers, Partition
from voltpay_core.ports import MessageSource


@define
class KafkaGroup:
    """A topic of two partitions, and a consumer group of its own."""

    connection: KafkaConnection
    events: KafkaEvents
    topic: str = field(factory=lambda: f"input-{secrets.token_hex(4)}")
    _opened: list[KafkaSource] = field(factory=list, init=False)

    @property
    def partitions(self) -> Sequence[Partition]:
        return [Partition(self.topic, number) for number in range(2)]

    def produce(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"1",
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> None:
        self.events.publish(
            [Event(partition.topic, key, value, headers, partition.number, timestamp)]
        ).wait()

    def open(self) -> KafkaSource:
        self._opened.append(KafkaSource(self.connection, self.topic, "group-" + self.topic))
        return self._opened[-1]

    def close(self, source: MessageSource) -> None:
        for opened in self._opened:
            if opened is source:
                opened.close()

    def close_all(self) -> None:
        for source in self._opened:
            source.close()
        self.events.close()


class TestKafkaSource(SharedSourceContract):
    @pytest.fixture
    def harness(self, kafka: KafkaAddress) -> Iterator[KafkaGroup]:
        connection = KafkaConnection.parse(kafka.url)
        group = KafkaGroup(connection, KafkaEvents(connection, 2))
        create(connection, [Topic(group.topic, 2, 2, {})])
        yield group
        group.close_all()


@define
class KafkaTopics:
    """Two topics of a test's own, of as many partitions as the source and of others."""

    connection: KafkaConnection
    topics: Sequence[str] = field(
        factory=lambda: [f"output-{secrets.token_hex(4)}" for _ in range(2)]
    )
    _opened: list[KafkaEvents] = field(factory=list, init=False)

    def open(self) -> KafkaEvents:
        self._opened.append(KafkaEvents(self.connection, 3))
        return self._opened[-1]

    def read(self, topic: str, count: int) -> Sequence[Event]:
        events: list[Event] = []
        with closing(self.connection.consumer(auto_offset_reset="earliest")) as consumer:
            places = [
                TopicPartition(topic, number) for number in consumer.partitions_for_topic(topic)
            ]
            consumer.assign(places)
            ends = consumer.end_offsets(places)
            assert sum(ends.values()) == count
            while any(consumer.position(place) < ends[place] for place in places):
                for records in consumer.poll(1000).values():
                    events += [
                        Event(topic, r.key, r.value, tuple(r.headers), r.partition, r.timestamp)
                        for r in records
                    ]
        return events

    def close(self) -> None:
        for publisher in self._opened:
            publisher.close()


class TestKafkaEvents(EventsContract):
    @pytest.fixture
    def harness(self, kafka: KafkaAddress) -> Iterator[KafkaTopics]:
        connection = KafkaConnection.parse(kafka.url)
        with closing(KafkaTopics(connection)) as topics:
            same, other = topics.topics
            create(connection, [Topic(same, 3, 2, {}), Topic(other, 2, 2, {})])
            yield topics

    def test_headers_keep_repeats_and_nulls(self, harness: EventsHarness) -> None:
        """Repeated headers stay in their order; a null value becomes empty, as kafka-python can."""
        (topic, *_) = harness.topics
        harness.open().publish(
            [Event(topic, b"k", b"v", (("a", b"1"), ("b", None), ("a", b"")))]
        ).wait()
        (found,) = harness.read(topic, 1)
        assert found.headers == (("a", b"1"), ("b", b""), ("a", b""))
