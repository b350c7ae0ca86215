"""The topics themselves: makes those that are missing, tells what differs from the settings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta

from attrs import frozen
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from voltpay_adapters.kafka.connection import KafkaConnection, translated
from voltpay_core.errors import Unavailable


@frozen
class Topic:
    """A topic as the settings want it.

    Attributes:
        replication: Copies of each partition.
        configuration: As Kafka names it, such as ``retention.ms``.
    """

    name: str
    partitions: int
    replication: int
    configuration: Mapping[str, str]


def create(connection: KafkaConnection, topics: Sequence[Topic]) -> list[str]:
    """Make those topics that are not there yet, and tell their names.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with translated("creating topics"), closing(connection.admin()) as admin:
        there = set(admin.list_topics())
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            admin.create_topics(
                {
                    topic.name: {
                        "num_partitions": topic.partitions,
                        "replication_factor": topic.replication,
                        "configs": dict(topic.configuration),
                    }
                    for topic in missing
                },
                wait_for_metadata=True,
            )
        return [topic.name for topic in missing]


def differences(connection: KafkaConnection, topics: Sequence[Topic]) -> list[str]:
    """A sentence for each topic that is missing and for each number that is another.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with translated("looking up topics"), closing(connection.admin()) as admin:
        there = set(admin.list_topics())
        found = [topic for topic in topics if topic.name in there]
        missing = [f"{topic.name} does not exist" for topic in topics if topic.name not in there]
        return [*missing, *_shapes(admin, found), *_configurations(admin, found)]


def retention(connection: KafkaConnection, topic: str) -> timedelta | None:
    """How long a topic keeps its records at most; None stands for ever.

    Kafka deletes whole segments, once the last record of one is old enough.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) there is no such topic.
    """
    with translated(f"looking up {topic}"), closing(connection.admin()) as admin:
        found = configuration(admin, topic)
    kept = int(found["retention.ms"])
    if kept < 0 or "delete" not in found["cleanup.policy"]:
        return None
    return timedelta(milliseconds=kept + int(found["segment.ms"]))


def _shapes(admin: KafkaAdminClient, topics: Sequence[Topic]) -> Iterator[str]:
    described = {
        found["name"]: found["partitions"]
        for found in admin.describe_topics([topic.name for topic in topics] or None)
    }
    for topic in topics:
        partitions = described[topic.name]
        if len(partitions) != topic.partitions:
            yield f"{topic.name} has {len(partitions)} partitions, not {topic.partitions}"
        replication = min(len(partition["replica_nodes"]) for partition in partitions)
        if replication != topic.replication:
            yield f"{topic.name} has {replication} replicas, not {topic.replication}"


def _configurations(admin: KafkaAdminClient, topics: Iterable[Topic]) -> Iterator[str]:
    for topic in topics:
        found = configuration(admin, topic.name)
        for name, wanted in topic.configuration.items():
            if found.get(name) != wanted:
                yield f"{topic.name} has {name}={found.get(name)}, not {wanted}"


def configuration(admin: KafkaAdminClient, topic: str) -> dict[str, str]:
    """The configuration in force of a topic, defaults included.

    Raises:
        Unavailable: (halt) Kafka does not tell it; kafka-python passes over the reason.
    """
    described = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic)], config_filter="all"
    )
    entries = described["topic"][topic]
    if not entries:
        raise Unavailable(
            f"Kafka does not tell the configuration of {topic}: there is no such topic, or the"
            " user lacks the right DESCRIBE_CONFIGS on it",
            halt=True,
        )
    return {name: str(entry["value"]) for name, entry in entries.items()}
