"""Offsets, and the topic that they belong to: another one may have been made under its name."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from voltpay_adapters.kafka.quirks import topic_id
from voltpay_adapters.kafka.resuming import is_of_another, mark
from voltpay_core.errors import Unavailable

TIMEOUT_MS = 15_000
"""For one answer of the group's coordinator."""


def marked(offset: int, topic: UUID | None) -> OffsetAndMetadata:
    """An offset to commit, with the id of its topic as its metadata."""
    return OffsetAndMetadata(offset, mark(topic), -1)


def committed(consumer: KafkaConsumer, tp: TopicPartition) -> int | None:
    """The group's offset; None where there is none for this topic, or only a former one's."""
    found = consumer.committed(tp, metadata=True, timeout_ms=TIMEOUT_MS)
    if found is None or is_of_another(found.metadata, topic_id(consumer, tp.topic)):
        return None
    offset: int = found.offset
    return offset


def find_offsets(
    find: Callable[..., dict[TopicPartition, int]], tps: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The starts or the ends of these partitions, as one of the client's methods finds them.

    Raises:
        Unavailable: A partition has no leader just now.
    """
    try:
        return find(list(tps), timeout_ms=TIMEOUT_MS) if tps else {}
    except KeyError:  # kafka-python leaves it out of its answers, and then misses it
        raise Unavailable("Kafka: a partition has no leader just now") from None
