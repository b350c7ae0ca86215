"""Reads through topics without acknowledging anything, and reads dead letters for replays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing

from attrs import frozen
from kafka import KafkaConsumer, TopicPartition

from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.failures import no_records, no_topic
from voltpay_adapters.kafka.offsets import TIMEOUT_MS, committed, find_offsets
from voltpay_adapters.kafka.resuming import browse_from
from voltpay_adapters.kafka.source import records_of
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_core.ports import MessageSource
from voltpay_core.records import Partition, Record
from voltpay_core.replaying import replay_group


@frozen
class KafkaDeadLetters:
    """The `DeadLetters` of a topic, by any client.

    Attributes:
        group: The group of the writers: each code has its own group of replays.
        browse: Reads the topic, as `browse` does.
        source: Makes a source of the topic, as `KafkaSource` does.
    """

    _connection: KafkaCluster
    _topic: str
    _group: str
    _browse: Callable[..., Iterator[Record]]
    _source: Callable[..., MessageSource]

    def browse(
        self, replays_of: str | None = None, begin: tuple[int, int] | None = None
    ) -> Iterator[Record]:
        """Read the topic.

        Raises:
            Unavailable: Kafka cannot be reached, or (halt) there is no such topic.
        """
        group = replay_group(self._group, replays_of) if replays_of else None
        return self._browse(self._connection, self._topic, group, begin=begin)

    def source(self, code: str) -> MessageSource:
        """Read the topic in the group of this code."""
        return self._source(
            self._connection,
            self._topic,
            replay_group(self._group, code),
            bounded=True,  # what fails again while it is replayed is for the next replay
            skip_expired=True,
        )


def browse(
    connection: KafkaConnection,
    topic: str,
    group: str | None = None,
    newest: int | None = None,
    begin: tuple[int, int] | None = None,
) -> Iterator[Record]:
    """The records that are in a topic now, partition by partition.

    Args:
        group: Skip the records that this group has acknowledged.
        newest: Read this number of records at most, the newest of each partition.
        begin: The number of the only partition to read, and the first offset there.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) the topic does not exist.
    """
    only, first = begin or (None, 0)
    with (
        translate_errors(f"reading {topic}"),
        closing(connection.consumer(group_id=group, auto_offset_reset="earliest")) as consumer,
    ):
        tps = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        if not tps:
            raise no_topic(topic, halt=True)
        tps = [tp for tp in tps if only in {None, tp.partition}]
        ends = find_offsets(consumer.end_offsets, tps)
        most = None if newest is None else newest // max(1, len(tps))
        for tp, offset in _starts(consumer, tps, group).items():
            start = browse_from(offset, ends[tp], first, most)
            if start < ends[tp]:
                yield from _read(consumer, tp, start, ends[tp])


def _starts(
    consumer: KafkaConsumer, tps: list[TopicPartition], group: str | None
) -> dict[TopicPartition, int]:
    starts = find_offsets(consumer.beginning_offsets, tps)
    if group is None:
        return starts
    return {tp: max(start, committed(consumer, tp) or 0) for tp, start in starts.items()}


def _read(consumer: KafkaConsumer, tp: TopicPartition, start: int, end: int) -> Iterator[Record]:
    consumer.assign([tp])
    consumer.seek(tp, start)
    while start < end:
        for polled in consumer.poll(TIMEOUT_MS).values():
            yield from (record for record in records_of(tp, polled) if record.offset < end)
        before, start = start, consumer.position(tp, timeout_ms=TIMEOUT_MS)
        if start == before:
            raise no_records(Partition(tp.topic, tp.partition))
