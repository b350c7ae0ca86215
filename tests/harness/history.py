"""Reads the checker's history from real topics, offsets and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

from attrs import frozen
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka.admin import OffsetSpec
from kafka.errors import KafkaError
from tenacity import retry, retry_if_exception_type, stop_after_delay, wait_fixed
from tests.harness.checker import History
from tests.harness.databases import Database, connected
from tests.harness.tables import read_tables

from voltpay_core.codec import Codec, Topics
from voltpay_core.records import Partition, ProducerRecord, Record

patiently = retry(
    retry=retry_if_exception_type(KafkaError),  # brokers that have just come back may not know yet
    stop=stop_after_delay(60),
    wait=wait_fixed(0.5),
    reraise=True,
)


@frozen
class KafkaGroup:
    """A consumer group, and the topics that it works on."""

    url: str
    topics: Topics
    name: str

    @property
    def servers(self) -> str:
        return self.url.removeprefix("kafka://")

    @patiently
    def acknowledged(self, admin: KafkaAdminClient) -> Mapping[Partition, int]:
        """The committed offsets."""
        found = admin.list_group_offsets({self.name: None})[self.name]
        return {
            Partition(place.topic, place.partition): told.offset for place, told in found.items()
        }

    @patiently
    def ends(self, admin: KafkaAdminClient) -> Mapping[Partition, int]:
        """Where the partitions of the writer topic end."""
        (described,) = admin.describe_topics([self.topics.writer])
        places = [
            TopicPartition(self.topics.writer, n) for n in range(len(described["partitions"]))
        ]
        found = admin.list_partition_offsets(dict.fromkeys(places, OffsetSpec.LATEST))
        return {Partition(place.topic, place.partition): end.offset for place, end in found.items()}

    @patiently
    def members(self, admin: KafkaAdminClient) -> int:
        """How many members the group has."""
        (described,) = admin.describe_groups([self.name]).values()
        return len(described["members"])

    def lag(self, admin: KafkaAdminClient) -> int:
        """Records of the writer topic that the group has yet to acknowledge."""
        acknowledged = self.acknowledged(admin)
        return sum(end - acknowledged.get(place, 0) for place, end in self.ends(admin).items())


def read_history(group: KafkaGroup, database: Database, **known: Any) -> History:
    """Everything; `known` is what cannot be read, by the names of the history."""
    with closing(KafkaAdminClient(bootstrap_servers=group.servers)) as admin:
        acknowledged = group.acknowledged(admin)
    with connected(database.superuser) as connection:
        tables = read_tables(connection.run, "write.")
    return History(
        produced=list(read_topic(group.servers, group.topics.writer)),
        tables=tables,
        published=read_events(group),
        acknowledged=acknowledged,
        **({"codec": Codec(group.topics)} | known),
    )


def read_events(
    group: KafkaGroup, partitions: frozenset[int] | None = None
) -> list[ProducerRecord]:
    """Everything that was published."""
    topics = (group.topics.read, group.topics.email, group.topics.dead_letter)
    return [
        _event(record)
        for topic in topics
        for record in read_topic(group.servers, topic, partitions)
    ]


def read_topic(
    servers: str, topic: str, partitions: frozenset[int] | None = None
) -> Iterator[Record]:
    """The records that are in a topic, or in some of its partitions, partition by partition."""
    consumer = KafkaConsumer(
        bootstrap_servers=servers, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    with closing(consumer):
        numbers = consumer.partitions_for_topic(topic) or set()
        for number in sorted(numbers if partitions is None else numbers & partitions):
            yield from _read_partition(consumer, TopicPartition(topic, number))


def _read_partition(consumer: KafkaConsumer, place: TopicPartition) -> Iterator[Record]:
    consumer.assign([place])
    consumer.seek_to_beginning(place)
    end = _end(consumer, place)
    partition = Partition(place.topic, place.partition)
    while consumer.position(place) < end:
        for found in consumer.poll(1000).get(place, []):
            yield Record(
                partition,
                found.offset,
                found.timestamp,
                found.key,
                found.value,
                tuple(found.headers),
            )


@patiently
def _end(consumer: KafkaConsumer, place: TopicPartition) -> int:
    end: int = consumer.end_offsets([place])[place]
    return end


def _event(record: Record) -> ProducerRecord:
    return ProducerRecord(
        record.partition.topic,
        record.key,
        record.value,
        record.headers,
        record.partition.number,
        record.timestamp,
    )
