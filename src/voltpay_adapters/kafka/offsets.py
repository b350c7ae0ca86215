"""Offsets, and the topic that they belong to: a topic may be deleted and created again."""

from __future__ import annotations

from collections.abc import Callable, Collection
from uuid import UUID

from kafka import KafkaConsumer, OffsetAndMetadata, TopicPartition

from voltpay_adapters.kafka.quirks import topic_id
from voltpay_adapters.kafka.resuming import is_of_another, mark
from voltpay_core.errors import Unavailable

TIMEOUT_MS = 15_000
"""For one answer of a broker or of the group's coordinator."""


def marked(offset: int, topic: UUID | None) -> OffsetAndMetadata:
    """An offset to commit, with the id of its topic as its metadata."""
    return OffsetAndMetadata(offset, mark(topic), -1)


def committed(consumer: KafkaConsumer, tp: TopicPartition) -> int | None:
    """The group's offset; None if it has none, or one of a former topic of the same name."""
    found = consumer.committed(tp, metadata=True, timeout_ms=TIMEOUT_MS)
    if found is None or is_of_another(found.metadata, topic_id(consumer, tp.topic)):
        return None
    offset: int = found.offset
    return offset


def find_offsets(
    find: Callable[..., dict[TopicPartition, int]], tps: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The start or end offsets of these partitions, by one of the client's methods.

    Raises:
        Unavailable: A partition has no leader at the moment.
    """
    try:
        return find(list(tps), timeout_ms=TIMEOUT_MS) if tps else {}
    except KeyError:  # raised by kafka-python for a partition without a leader
        raise Unavailable("Kafka: a partition has no leader at the moment", code="kafka") from None
