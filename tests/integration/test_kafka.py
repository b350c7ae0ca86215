"""Kafka passes the contracts of sources and publishers, by either client."""

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from attrs import define, evolve, field
from kafka import KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, MemberToRemove
from kafka.coordinator.base import MemberState
from kafka.errors import KafkaConnectionError
from tests.harness.deployment import eventually
from tests.harness.stack.kafka import BROKERS, KafkaAddress, KafkaCluster

from voltpay_adapters.confluent import ConfluentConnection, ConfluentPublisher, ConfluentSource
from voltpay_adapters.kafka.browsing import browse
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.requirements import Topic, exactly
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import KafkaCluster as AnyCluster
from voltpay_adapters.kafka.topics import Shape, create, retention
from voltpay_adapters.testing import Crash
from voltpay_adapters.testing.contracts.events import (
    EventsContract,
    EventsHarness,
    RefusalsContract,
    contents,
    event,
)
from voltpay_adapters.testing.contracts.source import (
    GapsContract,
    SharedSourceContract,
    collect,
    own,
    owning,
    polls,
    wait_until_assigned,
)
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.ports import EventPublisher, MessageSource
from voltpay_core.records import Headers, Partition, ProducerRecord, Record


@define
class KafkaGroup:
    """A topic of two partitions, and a consumer group of its own."""

    connection: KafkaConnection
    events: KafkaPublisher
    source: Callable[..., MessageSource]
    topic: str = field(factory=lambda: f"input-{secrets.token_hex(4)}")
    count: int = 2
    _opened: list[MessageSource] = field(factory=list, init=False)

    @property
    def partitions(self) -> Sequence[Partition]:
        return [Partition(self.topic, number) for number in range(self.count)]

    def produce(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"1",
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> None:
        self.events.publish(
            [ProducerRecord(partition.topic, key, value, headers, partition.number, timestamp)]
        ).wait()

    def leave_gap(self, partition: Partition) -> int:
        """What an aborted transaction leaves: its records, which nobody sees, and its mark."""
        place = TopicPartition(partition.topic, partition.number)
        with suppress(Crash), self.transaction() as produce:
            produce(partition, b"aborted")
            raise Crash
        with closing(self.connection.consumer()) as consumer:
            end: int = consumer.end_offsets([place])[place]
        return end

    @contextmanager
    def transaction(self) -> Iterator[Callable[[Partition, bytes], None]]:
        with closing(transactional(self.connection)) as producer:

            def produce(partition: Partition, value: bytes) -> None:
                producer.send(partition.topic, value, b"1", partition=partition.number)
                producer.flush()

            producer.begin_transaction()
            try:
                yield produce
            except Crash:
                producer.abort_transaction()
                raise
            producer.commit_transaction()

    def expire(self, partition: Partition, offset: int) -> None:
        with closing(self.connection.admin()) as admin:
            admin.delete_records({TopicPartition(partition.topic, partition.number): offset})

    def replace(self) -> None:
        recreate(self.connection, self.topic, self.count)
        self.events.reset()

    def add_partition(self) -> Partition:
        self.count += 1
        with closing(self.connection.admin()) as admin:
            admin.create_partitions({self.topic: self.count})
        configure(self.connection, self.topic, "segment.ms", 10**9)  # every broker knows it by then
        self.events.close()
        self.events = KafkaPublisher(self.connection, lambda: self.count)
        return self.partitions[-1]

    def remove_members(self) -> None:
        group = "group-" + self.topic
        with closing(self.connection.admin()) as admin:
            (described,) = admin.describe_groups([group]).values()
            members = [MemberToRemove(member["member_id"]) for member in described["members"]]
            removed = admin.remove_group_members(group, members)
            assert [error.errno for error in removed.values()] == [0]

    def open(self, **options: Any) -> Any:
        source = self.source(self.topic, "group-" + self.topic, **options)
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


class SourceLaws(SharedSourceContract, GapsContract):
    """The laws of a source on Kafka, for a subclass that names its client."""

    def source(self, url: str) -> Callable[..., MessageSource]:
        raise NotImplementedError

    @pytest.fixture
    def harness(self, kafka: KafkaAddress) -> Iterator[KafkaGroup]:
        connection = KafkaConnection.parse(kafka.url)
        group = KafkaGroup(
            connection, KafkaPublisher(connection, lambda: 2), self.source(kafka.url)
        )
        create(connection, [Topic(group.topic, 2, 2)])
        yield group
        group.close_all()

    @pytest.mark.parametrize("codec", ["gzip", "lz4", "snappy", "zstd"])
    def test_any_compression_is_read(self, codec: str, harness: KafkaGroup) -> None:
        """Whatever a producer compresses its records with, they are read."""
        options = {"compression_type": codec}
        compressed = KafkaPublisher(evolve(harness.connection, options=options), lambda: 2)
        with closing(compressed) as events:
            events.publish([ProducerRecord(harness.topic, b"1", b"x" * 1000, (), 0)]).wait()
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

    def test_a_topic_may_come_later(self, harness: KafkaGroup) -> None:
        """Brokers know a new topic one after the other: a missing one is waited for."""
        harness.topic = f"later-{secrets.token_hex(4)}"
        source = harness.open()
        with pytest.raises(Unavailable, match=f"no topic {harness.topic}$") as told:
            source.poll(1)
        assert not told.value.halt
        create(harness.connection, [Topic(harness.topic, 2, 2)])
        harness.produce(harness.partitions[0], b"value")
        read: list[bytes | None] = []

        def look() -> list[bytes | None]:
            with suppress(Unavailable):
                polled = source.poll(10)
                source.seek_to_committed(polled.assigned)
                read.extend(record.value for record in polled.records)
            return read

        eventually(look)
        assert read == [b"value"]

    def test_offsets_beyond_the_end_halt(self, harness: KafkaGroup) -> None:
        """If the acknowledged offset is beyond the end, the source halts."""
        place = TopicPartition(harness.topic, 0)
        with closing(harness.connection.admin()) as admin:
            beyond = {place: OffsetAndMetadata(7, "", -1)}
            admin.alter_group_offsets("group-" + harness.topic, beyond)
        with pytest.raises(Unavailable, match="ends at 0, but 7 is acknowledged") as told:
            collect(harness.open(), 1)
        assert told.value.halt

    def test_a_removed_member_is_fenced(self, harness: KafkaGroup) -> None:
        """A member that its group has removed can commit nothing: it is fenced, and joins again."""
        self.fill(harness, 1)
        source, places = harness.open(), set(harness.partitions)
        wait_until_assigned(source, harness.partitions)
        harness.remove_members()
        with pytest.raises(Fenced) as told:
            source.seek_to_committed(places)  # which commits where a new group begins
        assert told.value.partitions == places
        own(source, harness.partitions)
        harness.remove_members()
        with pytest.raises(Fenced) as told:
            source.acknowledge(dict.fromkeys(places, 1))
        assert told.value.partitions == places
        own(source, harness.partitions)
        collect(source, len(places))

    def test_what_was_skipped_is_not_missed_again(self, harness: KafkaGroup) -> None:
        """Expired records are reported once: skipping them is acknowledged."""
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

    def test_the_mark_of_a_transaction_is_no_lost_record(self, harness: KafkaGroup) -> None:
        """A bounded run acknowledges the transaction marker after its last record."""
        with closing(transactional(harness.connection)) as producer:
            producer.begin_transaction()
            for _ in range(10):
                producer.send(harness.topic, b"value", b"1", partition=0)
            producer.commit_transaction()
        source = harness.open()
        seen = 0
        for polled in polls(source, 10):
            source.seek_to_committed(polled.assigned)
            source.acknowledge(polled.positions)
            seen += len(polled.records)
            if seen == 10:
                break
        harness.close(source)
        with closing(harness.connection.admin()) as admin:
            admin.delete_records({TopicPartition(harness.topic, 0): 11})
        own(harness.open(), harness.partitions)

    def test_a_topic_created_again_is_read_from_its_beginning(self, harness: KafkaGroup) -> None:
        """Where another topic takes the name while it is read, none of its records is skipped."""
        first, _ = harness.partitions
        for _ in range(10):
            harness.produce(first, b"former")
        source = harness.open()
        assert len(collect(source, 10)) == 10
        source.acknowledge({first: 10})
        recreate(harness.connection, harness.topic, 2)
        harness.events.reset()
        new = [b"%d" % number for number in range(25)]
        for value in new:
            harness.produce(first, value)
        seen: list[bytes | None] = []

        def look() -> bool:
            with suppress(Unavailable, Fenced):
                polled = source.poll(100)
                source.seek_to_committed(polled.assigned)
                seen.extend(record.value for record in polled.records)
                source.acknowledge(polled.positions)
            return set(seen) == set(new)

        eventually(look)

    @pytest.mark.parametrize(("metadata", "position"), [("", 7), ("topic-id={former}", 0)])
    def test_offsets_of_a_former_topic_do_not_count(
        self, metadata: str, position: int, harness: KafkaGroup
    ) -> None:
        """An offset applies to the topic id in its metadata, or to any topic if it has none."""
        first, _ = harness.partitions
        for number in range(10):
            harness.produce(first, b"%d" % number)
        acknowledged = OffsetAndMetadata(7, metadata.format(former=uuid4()), -1)
        with closing(harness.connection.admin()) as admin:
            admin.alter_group_offsets(
                "group-" + harness.topic, {TopicPartition(harness.topic, 0): acknowledged}
            )
        records = collect(harness.open(), 10 - position)
        assert [record.offset for record in records] == list(range(position, 10))

    def test_a_topic_that_is_gone_is_an_outage(
        self, harness: KafkaGroup, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Where the topic is deleted its partitions are lost, each poll says so, and few lines."""
        source = owning(harness)
        with closing(harness.connection.admin()) as admin:
            admin.delete_topics([harness.topic])
        told: list[Unavailable] = []

        def look() -> bool:
            try:
                source.poll(100)
            except Unavailable as outage:
                told.append(outage)
            return len(told) > 20

        eventually(look)
        assert f"no topic {harness.topic}" in str(told[-1])
        assert not any(outage.halt for outage in told)
        assert len(caplog.records) < 20
        create(harness.connection, [Topic(harness.topic, 2, 2)])
        revoked: set[Partition] = set()

        def back() -> bool:
            with suppress(Unavailable):
                polled = source.poll(0)
                revoked.update(polled.revoked | polled.assigned)
            return revoked == set(harness.partitions)

        eventually(back)

    def test_an_open_transaction_is_reported(self, harness: KafkaGroup) -> None:
        """A source is drained before an open transaction, and says that something waits there."""
        first, _ = harness.partitions
        harness.produce(first, b"readable")
        told: list[str] = []
        source = harness.open(notify=told.append)
        with closing(transactional(harness.connection)) as producer:
            producer.begin_transaction()
            producer.send(harness.topic, b"not yet", b"1", partition=0)
            producer.flush()
            for polled in polls(source, 100):
                source.seek_to_committed(polled.assigned)
                source.acknowledge(polled.positions)
                if not polled.records and source.drained():
                    break
            producer.abort_transaction()
        assert told == [f"1 offsets of {harness.topic} wait for the end of a transaction"]

    def test_a_bounded_source_ends_where_the_topic_ended(self, harness: KafkaGroup) -> None:
        """What comes while it reads is neither read nor acknowledged, in whichever partition."""
        first, second = harness.partitions
        harness.produce(first, b"old")
        source = harness.open(bounded=True)
        assert source.count_partitions() == 2  # which has it look at the topic
        harness.produce(first, b"new")
        harness.produce(second, b"new")
        missing = set(harness.partitions)
        seen: list[Record] = []
        for polled in polls(source, 100):
            source.seek_to_committed(polled.assigned)
            missing -= polled.assigned
            seen += polled.records
            source.acknowledge(polled.positions)
            if not missing and source.drained():
                break
        assert [record.value for record in seen] == [b"old"]
        with closing(harness.connection.consumer(group_id="group-" + harness.topic)) as consumer:
            assert consumer.committed(TopicPartition(harness.topic, 0)) == 1
            assert consumer.committed(TopicPartition(harness.topic, 1)) == 0


class TestKafkaSource(SourceLaws):
    def source(self, url: str) -> Callable[..., MessageSource]:
        return partial(KafkaSource, KafkaConnection.parse(url))

    def test_what_a_failed_poll_learnt_is_reported_by_the_next(self, harness: KafkaGroup) -> None:
        """Partitions that are assigned during a poll that raises are reported all the same."""
        source = harness.open()
        consumer = source._consumer()
        poll = consumer.poll

        def fail(*arguments: Any, **options: Any) -> Any:
            try:
                return poll(*arguments, **options)
            finally:
                if source._rebalance.assigned:
                    consumer.poll = poll
                    raise KafkaConnectionError

        consumer.poll = fail
        with pytest.raises(Unavailable):
            collect(source, 1)
        own(source, harness.partitions)

    def test_a_forgotten_join_is_made_up_for(self, harness: KafkaGroup) -> None:
        """If kafka-python does not finish a join within its poll, the member joins again."""
        first, _ = harness.partitions
        source = owning(harness)
        coordinator = source._opened._coordinator  # type: ignore[attr-defined]
        coordinator.state = MemberState.REBALANCING  # and no rejoin needed: as it is left behind
        harness.produce(first, b"value")
        (record,) = collect(source, 1)
        source.acknowledge({first: record.offset + 1})
        assert coordinator.state is MemberState.STABLE


class TestConfluentSource(SourceLaws):
    waits = True

    def source(self, url: str) -> Callable[..., MessageSource]:
        return partial(ConfluentSource, ConfluentConnection.parse(url))


@pytest.mark.parametrize("connect", [KafkaConnection.parse, ConfluentConnection.parse])
def test_a_topic_that_exists_already_is_left_as_it_is(
    connect: Callable[[str], AnyCluster], kafka: KafkaAddress
) -> None:
    """Each client creates the topics that do not exist, and returns the others unchanged."""
    first, second = (Topic(f"new-{secrets.token_hex(4)}", 2, 2) for _ in range(2))
    larger = evolve(first, partitions=3)
    with connect(kafka.url).topic_admin("creating topics") as admin:
        assert admin.create([first]) == []
        assert admin.create([larger, second]) == [larger]
        expected = dict.fromkeys((first.name, second.name), Shape(2, 2))
        eventually(lambda: admin.shapes([first.name, second.name]) == expected)


def recreate(connection: KafkaConnection, name: str, partitions: int) -> None:
    """Delete a topic, and make another one under its name as soon as Kafka lets us; 0: none."""
    with closing(connection.admin()) as admin:
        admin.delete_topics([name])
        eventually(lambda: name not in admin.list_topics())

    def made() -> bool:
        with suppress(Unavailable):
            return create(connection, [Topic(name, partitions, 2)]) == [name]
        return False

    if partitions:
        eventually(made)


def configure(connection: KafkaConnection, topic: str, name: str, value: int) -> None:
    """Change a setting of a topic; on return every broker goes by it.

    Brokers apply changes one after the other: one that knows a later change has applied this one.
    """
    with closing(connection.admin()) as admin:
        brokers = [broker["broker_id"] for broker in admin.describe_cluster()["brokers"]]
        for setting, wanted in ((name, value), ("file.delete.delay.ms", secrets.randbits(32))):
            topics = [ConfigResource(ConfigResourceType.TOPIC, topic, {setting: str(wanted)})]
            admin.alter_configs(topics)
            asked = admin._describe_configs_request(topics)

            def known(asked: Any = asked, wanted: int = wanted) -> bool:
                answers = [admin._manager.run(admin._manager.send, asked, node) for node in brokers]
                found = [config.value for answer in answers for config in answer.results[0].configs]
                return found == [str(wanted)] * len(brokers)

            eventually(known)


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
    publisher: Callable[..., EventPublisher]
    topics: Sequence[str] = field(
        factory=lambda: [f"output-{secrets.token_hex(4)}" for _ in range(2)]
    )
    longest: int = 1_048_588
    _opened: list[EventPublisher] = field(factory=list, init=False)

    def open(self, **options: Any) -> Any:
        self._opened.append(self.publisher(lambda: 3, **options))
        return self._opened[-1]

    def read(self, topic: str, count: int) -> Sequence[ProducerRecord]:
        events: list[ProducerRecord] = []
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
                        ProducerRecord(
                            topic, r.key, r.value, tuple(r.headers), r.partition, r.timestamp
                        )
                        for r in records
                    ]
        return events

    @contextmanager
    def outage(self, topic: str) -> Iterator[None]:
        """No record is short enough for the topic."""
        configure(self.connection, topic, "max.message.bytes", 1)
        yield
        configure(self.connection, topic, "max.message.bytes", self.longest)

    def close(self) -> None:
        for publisher in self._opened:
            publisher.close()


class EventsLaws(EventsContract, RefusalsContract):
    """The laws of a publisher to Kafka, for a subclass that names its client."""

    TOO_LARGE: str

    def publisher(self, url: str) -> Callable[..., EventPublisher]:
        raise NotImplementedError

    def notice(self, publisher: Any, topic: str, partitions: int) -> None:
        """Wait until the publisher knows the new partitions, if it does not find them by itself."""

    @pytest.fixture
    def harness(self, kafka: KafkaAddress) -> Iterator[KafkaTopics]:
        connection = KafkaConnection.parse(kafka.url)
        with closing(KafkaTopics(connection, self.publisher(kafka.url))) as topics:
            same, other = topics.topics
            create(connection, [Topic(same, 3, 2), Topic(other, 2, 2)])
            yield topics

    @pytest.mark.parametrize("partitions", [0, 1])
    def test_a_topic_that_shrinks_is_an_outage(self, partitions: int, harness: KafkaTopics) -> None:
        """Where a partition or the whole topic is gone, publishing fails until it is reset."""
        (topic, *_) = harness.topics
        event = ProducerRecord(topic, b"k", b"v", (), 2)
        publisher = harness.open(ack_timeout=3)

        def published() -> bool:  # a busy broker may need longer for a new topic
            with suppress(Unavailable):
                publisher.publish([event]).wait()
                return True
            publisher.reset()
            return False

        eventually(published)
        recreate(harness.connection, topic, partitions)
        self.notice(publisher, topic, partitions)
        with pytest.raises(Unavailable) as outage:
            publisher.publish([event]).wait()
        assert not outage.value.halt
        publisher.reset()
        create(harness.connection, [Topic(topic, 1, 2)])
        eventually(published)
        assert {found.partition for found in harness.read(topic, 1)} == {0}

    def test_brokers_know_the_producer(self, harness: KafkaTopics) -> None:
        """Brokers drop a batch that comes twice: the producer is idempotent, in no transaction."""
        (topic, *_) = harness.topics
        place = TopicPartition(topic, 0)
        harness.open().publish([ProducerRecord(topic, b"k", b"v", (), 0)]).wait()
        with closing(harness.connection.admin()) as admin:
            (producer,) = admin.describe_producers([place])[place].active_producers
        assert producer.producer_id >= 0
        assert producer.current_transaction_start_offset == -1

    def test_patience_begins_with_the_wait(self, harness: KafkaTopics) -> None:
        """However much other work came between, what waits to be sent is not overdue for it."""
        (topic, *_) = harness.topics
        place, event = TopicPartition(topic, 0), ProducerRecord(topic, b"k", b"v", (), 0)
        with (
            closing(harness.connection.consumer()) as consumer,
            closing(harness.open(ack_timeout=2)) as events,
        ):

            def reached(end: int) -> bool:
                return bool(consumer.end_offsets([place])[place] == end)

            first = events.publish([event])
            for sent in range(1, 4):  # each lingers for a second, so that patience is over then
                eventually(partial(reached, sent))
                events.publish([event])
            first.wait()

    def test_a_reset_drops_what_lingers(self, harness: KafkaTopics) -> None:
        """What the client still holds at a reset is not sent later, behind what follows."""
        (topic, *_) = harness.topics
        place = TopicPartition(topic, 0)
        sent = [ProducerRecord(topic, b"k", b"%d" % number, (), 0) for number in range(4)]
        publisher = harness.open()
        publisher.publish(sent[:1]).wait()
        publisher.publish(sent[1:2])
        publisher.reset()
        publisher.publish(sent[2:3]).wait()
        publisher.publish(sent[3:])  # it lingers for as long as the dropped one would have
        with closing(harness.connection.consumer()) as consumer:
            eventually(lambda: consumer.end_offsets([place])[place] == 3)
        kept = [*sent[:1], *sent[2:]]
        assert contents(harness.read(topic, len(kept))) == contents(kept)

    def test_what_is_too_long_together_goes_in_parts(self, harness: KafkaTopics) -> None:
        """A topic that takes each event, and not as many in a row as are sent, gets them all."""
        topic = create_topic_taking(65536, harness.connection)
        sent = [ProducerRecord(topic, b"k", b"%6d" % n * 100, (), 0) for n in range(1500)]
        harness.open().publish(sent).wait()
        assert contents(harness.read(topic, len(sent))) == contents(sent)

    def test_what_is_too_long_alone_is_named(self, harness: KafkaTopics) -> None:
        """An event that is too long for its topic is reported as such, whatever is beside it."""
        topic = create_topic_taking(1000, harness.connection)
        values = [b"a", b"b", b"x" * 2000, b"c"]
        sent = [ProducerRecord(topic, b"k", value, (), 0) for value in values]
        with pytest.raises(Unavailable, match=self.TOO_LARGE):
            harness.open().publish(sent).wait()


class TestKafkaEvents(EventsLaws):
    TOO_LARGE = "MessageSizeTooLargeError"

    def publisher(self, url: str) -> Callable[..., EventPublisher]:
        return partial(KafkaPublisher, KafkaConnection.parse(url))

    def notice(self, publisher: KafkaPublisher, topic: str, partitions: int) -> None:
        opened = publisher._opened
        assert opened is not None

        def known() -> bool:
            opened._metadata.request_update()
            return len(opened._metadata.partitions_for_topic(topic) or ()) == partitions

        eventually(known)

    def test_headers_keep_repeats_and_nulls(self, harness: EventsHarness) -> None:
        """Repeated headers stay in their order; a null value becomes empty, as kafka-python can."""
        (topic, *_) = harness.topics
        harness.open().publish(
            [ProducerRecord(topic, b"k", b"v", (("a", b"1"), ("b", None), ("a", b"")))]
        ).wait()
        (found,) = harness.read(topic, 1)
        assert found.headers == (("a", b"1"), ("b", b""), ("a", b""))


class TestConfluentEvents(EventsLaws):
    TOO_LARGE = "Message size too large"

    def publisher(self, url: str) -> Callable[..., EventPublisher]:
        return partial(ConfluentPublisher, ConfluentConnection.parse(url))

    @pytest.mark.parametrize("timestamp", [1, -1, 1_700_000_000_123])
    def test_a_timestamp_is_kept(self, harness: EventsHarness, timestamp: int) -> None:
        """Any timestamp but the epoch itself is kept."""
        super().test_a_timestamp_is_kept(harness, timestamp)

    def test_the_epoch_is_published_as_its_next_millisecond(self, harness: EventsHarness) -> None:
        """librdkafka takes a timestamp of 0 for now; a record of today would expire years later."""
        (topic, *_) = harness.topics
        harness.open().publish([ProducerRecord(topic, b"k", b"v", timestamp=0)]).wait()
        (found,) = harness.read(topic, 1)
        assert found.timestamp == 1

    def test_a_failure_lasts_until_a_reset(self, harness: KafkaTopics) -> None:
        """After an event was refused nothing is published and no wait ends well before a reset."""
        (topic, *_) = harness.topics
        refusing = create_topic_taking(1000, harness.connection)
        publisher = harness.open()
        refused = publisher.publish([ProducerRecord(refusing, b"k", b"x" * 2000)])
        for _ in range(2):
            with pytest.raises(Unavailable, match=self.TOO_LARGE):
                refused.wait()
        event = ProducerRecord(topic, b"k", b"v", (), 0)
        with pytest.raises(Unavailable):
            publisher.publish([event])
        publisher.reset()
        publisher.publish([event]).wait()
        assert contents(harness.read(topic, 1)) == contents([event])


@pytest.mark.parametrize("key", [b"", b"1", b"4711", b"\xff\x00", "é".encode(), b"x" * 100])
def test_both_clients_choose_the_same_partition(kafka: KafkaAddress, key: bytes) -> None:
    """An account's events stay in one partition, whichever client publishes them."""
    topic = f"keyed-{secrets.token_hex(4)}"
    first = KafkaConnection.parse(kafka.url)
    create(first, [Topic(topic, 7, 2)])
    for publisher in (
        KafkaPublisher(first),
        ConfluentPublisher(ConfluentConnection.parse(kafka.url)),
    ):
        with closing(publisher) as events:
            events.publish([ProducerRecord(topic, key, b"v")]).wait()
    found = list(browse(first, topic))
    assert len(found) == 2
    assert len({record.partition for record in found}) == 1


def test_what_is_overdue_is_not_published(kafka_cluster: KafkaCluster) -> None:
    """While brokers are silent nothing counts as published; what they take later counts once."""
    connection = KafkaConnection.parse(kafka_cluster.url)
    with closing(KafkaTopics(connection, partial(KafkaPublisher, connection))) as topics:
        topic, _ = topics.topics
        create(connection, [Topic(topic, 1, 2)])
        publisher = topics.open()
        sent = [event(topic, number) for number in range(2)]
        publisher.publish(sent[:1]).wait()
        publisher._ack_timeout = 1
        for broker in BROKERS:
            kafka_cluster.suspend_broker(broker)
        try:
            publication = publisher.publish(sent[1:])
            with pytest.raises(Unavailable, match="acknowledgement"):
                publication.wait()
        finally:
            for broker in BROKERS:
                kafka_cluster.resume_broker(broker)

        def acknowledged() -> bool:
            with suppress(Unavailable):
                publication.wait()
                return True
            return False

        eventually(acknowledged)
        assert contents(topics.read(topic, 2)) == contents(sent)
        for broker in BROKERS:
            kafka_cluster.wait_until_in_sync(broker)


def create_topic_taking(size: int, connection: KafkaConnection) -> str:
    """Make a topic whose messages, each a batch of records, have at most so many bytes."""
    name = f"output-{secrets.token_hex(4)}"
    create(connection, [Topic(name, 1, 2, [exactly("max.message.bytes", str(size), "")])])
    return name


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
    """A record may be kept for longer than its retention, until its segment is closed."""
    connection = KafkaConnection.parse(kafka.url)
    topic = f"kept-{secrets.token_hex(4)}"
    required = [exactly(name, value, "") for name, value in configuration.items()]
    create(connection, [Topic(topic, 1, 2, required)])
    assert retention(connection, topic) == kept


def test_what_kafka_does_not_tell_halts(kafka: KafkaAddress) -> None:
    """If Kafka does not return a topic's configuration, the error names the missing right."""
    with pytest.raises(Unavailable, match=r"configuration of nowhere.* DESCRIBE_CONFIGS") as told:
        retention(KafkaConnection.parse(kafka.url), "nowhere")
    assert told.value.halt
