"""Failures that every Kafka client reports in the same words."""

from __future__ import annotations

from collections.abc import Iterable

from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.records import Partition


def no_topic(topic: str, *, halt: bool = False) -> Unavailable:
    """The failure if a topic does not exist.

    Args:
        halt: Nobody waits until it is created.
    """
    return Unavailable(f"Kafka has no topic {topic}", halt=halt, code="no-topic")


def topic_replaced(topic: str) -> Unavailable:
    """The failure if the topic that was read is gone, whatever has its name now."""
    return Unavailable(f"Kafka: {topic} was deleted, or another topic has its name", code="kafka")


def no_records(partition: Partition) -> Unavailable:
    """The failure if a partition has records, and they do not come in time."""
    return Unavailable(f"Kafka: {partition} returns no records at the moment", code="kafka")


def not_assigned(partitions: Iterable[Partition]) -> Fenced:
    """The failure if offsets are to be committed in partitions of another member.

    A source must check this: the broker would accept the offsets from any member of the group.
    """
    return Fenced(partitions, "the group has assigned them to another member")
