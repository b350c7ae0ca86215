"""Kafka passes the contracts of sources and publishers."""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, suppress
from datetime import timedelta

import pytest
from attrs import define, evolve, field
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.base import MemberState
from tests.contracts.events import EventsContract, EventsHarness
from tests.contracts.source import SharedSourceContract, collect, own, owning, polls
from tests.integration.processes import eventually
from tests.stack.kafka import KafkaAddress

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.events import KafkaEvents
from voltpay_adapters.kafka.requirements import exactly
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import Topic, create, retention
from voltpay_core.errors import Unavailable
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

    def open(self, *, bounded: bool = False, skip_expired: bool = False) -> KafkaSource:
        source = KafkaSource(
            self.connection,
            self.topic,
            "group-" + self.topic,
            bounded=bounded,
            skip_expired=skip_expired,
        )
        self._opened.append(source)
        return source

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
        create(connection, [Topic(group.topic, 2, 2)])
        yield group
        group.close_all()

    @pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
    def test_any_compression_is_read(self, codec: str, harness: KafkaGroup) -> None:
        """Whatever a producer compresses its records with, they are read."""
        options = {"compression_type": codec}
        compressed = KafkaEvents(evolve(harness.connection, options=options), 2)
        with closing(compressed) as events:
            events.publish([Event(harness.topic, b"1", b"x" * 1000, (), 0)]).wait()
        assert [record.value for record in collect(harness.open(), 1)] == [b"x" * 1000]

    def test_what_cannot_be_read_halts(self, harness: KafkaGroup) -> None:
        """A record that the client cannot decode halts its reader, which says where it is."""
        broken = Header("broken")
        first, _ = harness.partitions
        harness.produce(first, b"good")
        harness.produce(first, b"bad", headers=((broken, b""),))
        with pytest.raises(Unavailable, match=rf"{harness.topic}-0@1\b") as told:
            collect(harness.open(), 2)
        assert told.value.halt

    def test_a_forgotten_join_is_made_up_for(self, harness: KafkaGroup) -> None:
        """Where kafka-python forgets a join that outlasted its poll, the member joins anew."""
        first, _ = harness.partitions
        source = owning(harness)
        coordinator = source._opened._coordinator  # type: ignore[attr-defined]
        coordinator.state = MemberState.REBALANCING  # and no rejoin needed: as it is left behind
        harness.produce(first, b"value")
        (record,) = collect(source, 1)
        source.acknowledge({first: record.offset + 1})
        assert coordinator.state is MemberState.STABLE

    def test_a_topic_may_come_later(self, harness: KafkaGroup) -> None:
        """Brokers know a new topic one after the other: a missing one is waited for."""
        harness.topic = f"later-{secrets.token_hex(4)}"
        source = harness.open()
        with pytest.raises(
            Unavailable, match=f"no topic {harness.topic}: .* topics create"
        ) as told:
            source.poll(1)
        assert not told.value.halt
        create(harness.connection, [Topic(harness.topic, 2, 2)])
        harness.produce(harness.partitions[0], b"value")
        read: list[bytes | None] = []

        def look() -> list[bytes | None]:
            with suppress(Unavailable):
                polled = source.poll(10)
                source.rewind(polled.gained)
                read.extend(record.value for record in polled.records)
            return read

        eventually(look)
        assert read == [b"value"]

    def test_offsets_beyond_the_end_halt(self, harness: KafkaGroup) -> None:
        """Where more is acknowledged than there is, nothing is read until somebody has looked."""
        place = TopicPartition(harness.topic, 0)
        with closing(harness.connection.admin()) as admin:
            beyond = {place: OffsetAndMetadata(7, "", -1)}
            admin.alter_group_offsets("group-" + harness.topic, beyond)
        with pytest.raises(Unavailable, match="ends at 0, and 7 is acknowledged") as told:
            collect(harness.open(), 1)
        assert told.value.halt

    def test_what_was_skipped_is_not_missed_again(self, harness: KafkaGroup) -> None:
        """Records that expired are told of once: who skips them acknowledges that."""
        first, _ = harness.partitions
        source = harness.open()
        harness.produce(first, b"read")
        (record,) = collect(source, 1)
        source.acknowledge({first: record.offset + 1})
        harness.close(source)
        harness.produce(first, b"expired")
        with closing(harness.connection.admin()) as admin:
            admin.delete_records({TopicPartition(harness.topic, 0): 2})
        source = harness.open()
        with pytest.raises(Unavailable, match=r"1 records of .* expired"):
            own(source, harness.partitions)
        harness.close(source)
        for skip_expired in (True, False):
            source = harness.open(skip_expired=skip_expired)
            own(source, harness.partitions)
            harness.close(source)
        harness.produce(first, b"new")
        assert [record.value for record in collect(harness.open(), 1)] == [b"new"]

    def test_a_poll_for_nothing_moves_nothing(self, harness: KafkaGroup) -> None:
        """What a transaction leaves at a partition's end is passed over once records may come."""
        place = TopicPartition(harness.topic, 0)
        first, _ = harness.partitions
        source = owning(harness)
        with closing(transactional(harness.connection)) as producer:
            producer.begin_transaction()
            producer.send(harness.topic, b"value", b"1", partition=0)
            producer.commit_transaction()
        (record,) = collect(source, 1)
        source.acknowledge({first: record.offset + 1})
        with closing(harness.connection.consumer()) as consumer:
            assert consumer.end_offsets([place])[place] == record.offset + 2
        for _ in range(5):
            assert source.poll(0).positions == {}
        for polled in polls(source, 100):
            if polled.positions:
                break
        assert polled.positions == {first: record.offset + 2}

    def test_a_bounded_source_ends_where_the_topic_ended(self, harness: KafkaGroup) -> None:
        """What comes while it reads is neither read nor acknowledged, in whichever partition."""
        first, second = harness.partitions
        harness.produce(first, b"old")
        source = harness.open(bounded=True)
        assert source.count_partitions() == 2  # which has it look at the topic
        harness.produce(first, b"new")
        harness.produce(second, b"new")
        missing, seen = set(harness.partitions), []
        for polled in polls(source, 100):
            source.rewind(polled.gained)
            missing -= polled.gained
            seen += polled.records
            source.acknowledge(polled.positions)
            if not missing and source.drained():
                break
        assert [record.value for record in seen] == [b"old"]
        with closing(harness.connection.consumer(group_id="group-" + harness.topic)) as consumer:
            assert consumer.committed(TopicPartition(harness.topic, 0)) == 1
            assert consumer.committed(TopicPartition(harness.topic, 1)) == 0


def transactional(connection: KafkaConnection) -> KafkaProducer:
    producer = KafkaProducer(
        bootstrap_servers=connection.servers, transactional_id=secrets.token_hex(4)
    )
    producer.init_transactions()
    return producer


class Header(str):
    """The name of a header in an encoding that Kafka takes and its client does not read."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"


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
            create(connection, [Topic(same, 3, 2), Topic(other, 2, 2)])
            yield topics

    def test_headers_keep_repeats_and_nulls(self, harness: EventsHarness) -> None:
        """Repeated headers stay in their order; a null value becomes empty, as kafka-python can."""
        (topic, *_) = harness.topics
        harness.open().publish(
            [Event(topic, b"k", b"v", (("a", b"1"), ("b", None), ("a", b"")))]
        ).wait()
        (found,) = harness.read(topic, 1)
        assert found.headers == (("a", b"1"), ("b", b""), ("a", b""))

    def test_patience_begins_with_the_wait(self, harness: KafkaTopics) -> None:
        """However much other work came between, what waits to be sent is not overdue for it."""
        (topic, *_) = harness.topics
        place, event = TopicPartition(topic, 0), Event(topic, b"k", b"v", (), 0)
        with (
            closing(harness.connection.consumer()) as consumer,
            closing(KafkaEvents(harness.connection, 3, patience=2)) as events,
        ):
            first = events.publish([event])
            for sent in range(1, 4):  # each lingers for a second, so that patience is over then
                eventually(lambda sent=sent: consumer.end_offsets([place])[place] == sent)
                events.publish([event])
            first.wait()


@pytest.mark.parametrize(
    ("configuration", "kept"),
    [
        ({"retention.ms": "1000", "segment.ms": "500"}, timedelta(milliseconds=1500)),
        ({"retention.ms": "-1"}, None),
        ({"retention.ms": "9223372036854775807"}, None),
        ({"retention.ms": "1000", "segment.ms": "9223372036854775807"}, None),
        ({"retention.ms": "1000", "cleanup.policy": "compact"}, None),
    ],
)
def test_a_topic_keeps_whole_segments(
    kafka: KafkaAddress, configuration: Mapping[str, str], kept: timedelta | None
) -> None:
    """A record may outlive its retention by the time that its segment takes to be closed."""
    connection = KafkaConnection.parse(kafka.url)
    topic = f"kept-{secrets.token_hex(4)}"
    required = [exactly(name, value, "") for name, value in configuration.items()]
    create(connection, [Topic(topic, 1, 2, required)])
    assert retention(connection, topic) == kept


def test_what_kafka_does_not_tell_halts(kafka: KafkaAddress) -> None:
    """Where a topic's configuration is not told, somebody is asked for the right to see it."""
    with pytest.raises(Unavailable, match=r"configuration of nowhere.* DESCRIBE_CONFIGS") as told:
        retention(KafkaConnection.parse(kafka.url), "nowhere")
    assert told.value.halt
