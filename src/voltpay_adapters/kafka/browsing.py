"""Looks through a topic without joining a group and without acknowledging anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition

from voltpay_adapters.kafka.connection import KafkaConnection, translated
from voltpay_adapters.kafka.offsets import TIME_OUT_MS, committed, find_offsets
from voltpay_adapters.kafka.source import records_of
from voltpay_core.errors import Unavailable
from voltpay_core.records import Record


def browse(connection: KafkaConnection, topic: str, group: str | None = None) -> Iterator[Record]:
    """The records that are in a topic now, partition by partition.

    Args:
        group: Leave out what this group has acknowledged.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) there is no such topic.
    """
    with (
        translated(f"looking through {topic}"),
        closing(connection.consumer(group_id=group, auto_offset_reset="earliest")) as consumer,
    ):
        places = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        if not places:
            raise Unavailable(f"Kafka has no topic {topic}: run `voltpay topics create`", halt=True)
        ends = find_offsets(consumer.end_offsets, places)
        for place, start in _starts(consumer, places, group).items():
            if start < ends[place]:
                yield from _read(consumer, place, start, ends[place])


def _starts(
    consumer: KafkaConsumer, places: list[TopicPartition], group: str | None
) -> dict[TopicPartition, int]:
    starts = find_offsets(consumer.beginning_offsets, places)
    if group is None:
        return starts
    return {place: max(start, committed(consumer, place) or 0) for place, start in starts.items()}


def _read(consumer: KafkaConsumer, place: TopicPartition, start: int, end: int) -> Iterator[Record]:
    consumer.assign([place])
    consumer.seek(place, start)
    while start < end:
        for polled in consumer.poll(TIME_OUT_MS).values():
            yield from (record for record in records_of(place, polled) if record.offset < end)
        before, start = start, consumer.position(place, timeout_ms=TIME_OUT_MS)
        if start == before:
            raise Unavailable(f"Kafka: {place.topic}-{place.partition} gives no records just now")
