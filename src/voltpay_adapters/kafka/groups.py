"""How far a consumer group has come, and what a topic retains, by any client."""

from __future__ import annotations

import time

from voltpay_adapters.kafka.failures import no_topic
from voltpay_adapters.kafka.topics import KafkaCluster, TopicAdmin
from voltpay_adapters.snapshots import GroupState


def read_group(cluster: KafkaCluster, group: str, topic: str) -> GroupState:
    """Read the group's offsets and members; a group that does not exist has none.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it, or has no such topic.
    """
    with cluster.topic_admin(f"looking up the group {group}") as admin:
        offsets = _offsets(admin, topic)
        committed = admin.acknowledged(group, topic)
        read_at = time.monotonic()
        return GroupState(
            read_at,
            {n: max(committed.get(n, 0), found.start) for n, found in offsets.items()},
            {number: found.stop for number, found in offsets.items()},
            admin.members(group, topic),
        )


def count_retained(cluster: KafkaCluster, topic: str) -> int:
    """The number of records that a topic retains; offsets without a record are counted too.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it, or has no such topic.
    """
    with cluster.topic_admin(f"looking up {topic}") as admin:
        return sum(map(len, _offsets(admin, topic).values()))


def _offsets(admin: TopicAdmin, topic: str) -> dict[int, range]:
    if offsets := admin.offsets(topic):
        return offsets
    raise no_topic(topic, halt=True)
