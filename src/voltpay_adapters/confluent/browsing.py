"""Reads through a topic by librdkafka, without acknowledging anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

from confluent_kafka import Consumer, KafkaError, TopicPartition

from voltpay_adapters.confluent.connection import (
    TIMEOUT,
    ConfluentConnection,
    failure,
    translate_errors,
)
from voltpay_adapters.confluent.records import record_of
from voltpay_adapters.confluent.topic_admin import ConfluentTopicAdmin
from voltpay_adapters.kafka.failures import no_records, no_topic
from voltpay_adapters.kafka.resuming import browse_from, is_of_another
from voltpay_core.records import Partition, Record

_CHUNK = 500
"""Records of one call, at most."""


def browse(
    connection: ConfluentConnection,
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
    with translate_errors(f"reading {topic}"):
        admin = ConfluentTopicAdmin(connection.admin(), TIMEOUT)
        found = admin.describe(topic)
        if found is None:
            raise no_topic(topic, halt=True)
        numbers = [n for n in range(found.shape.partitions) if only in {None, n}]
        tps = [TopicPartition(topic, number) for number in numbers]
        starts, ends = admin.starts(tps), admin.ends(tps)
        if group is not None:
            for tp in admin.committed(group, tps):
                if not is_of_another(tp.metadata or "", found.topic_id):
                    starts[tp.partition] = max(starts[tp.partition], tp.offset)
        most = None if newest is None else newest // max(1, len(tps))
        soon = {"fetch.wait.max.ms": 10}  # a request for one partition delays that for the next
        with closing(connection.consumer("voltpay-browsing", _ignore, soon)) as consumer:
            for tp in tps:
                end = ends[tp.partition]
                start = browse_from(starts[tp.partition], end, first, most)
                if start < end:
                    consumer.assign([TopicPartition(topic, tp.partition, start)])
                    yield from _read(consumer, Partition(topic, tp.partition), end)


def _read(consumer: Consumer, partition: Partition, end: int) -> Iterator[Record]:
    while True:
        messages = consumer.consume(1, TIMEOUT) + consumer.consume(_CHUNK, 0)
        if not messages:
            raise no_records(partition)
        for message in messages:
            error = message.error()
            if error is None and message.offset() < end:
                yield record_of(message, partition)
            elif error is None or error.code() == KafkaError._PARTITION_EOF:
                return
            else:
                raise failure(error, f"reading {partition}")
            if message.offset() == end - 1:
                return


def _ignore(_: KafkaError) -> None:
    """Errors that matter are raised as well."""
