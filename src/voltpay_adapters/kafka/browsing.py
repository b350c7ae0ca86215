"""Reads through a topic without joining a group and without acknowledging anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from kafka import KafkaConsumer, TopicPartition

from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.offsets import TIMEOUT_MS, committed, find_offsets
from voltpay_adapters.kafka.source import records_of
from voltpay_core.errors import Unavailable
from voltpay_core.records import Record


def browse(connection: KafkaConnection, topic: str, group: str | None = None) -> Iterator[Record]:
    """The records that are in a topic now, partition by partition.

    Args:
        group: Skip the records that this group has acknowledged.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) the topic does not exist.
    """
    with (
        translate_errors(f"reading {topic}"),
        closing(connection.consumer(group_id=group, auto_offset_reset="earliest")) as consumer,
    ):
        tps = [TopicPartition(topic, n) for n in consumer.partitions_for_topic(topic) or ()]
        if not tps:
            raise Unavailable(f"Kafka has no topic {topic}", halt=True, code="no-topic")
        ends = find_offsets(consumer.end_offsets, tps)
        for tp, start in _starts(consumer, tps, group).items():
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
            raise Unavailable(f"Kafka: {tp.topic}-{tp.partition} returns no records at the moment")
