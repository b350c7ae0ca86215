"""Creates missing topics, and compares existing ones with their requirements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta

from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.requirements import Difference, Topic, whole_number
from voltpay_core.errors import Unavailable

NOT_DESCRIBED = "the topic does not exist, or the user lacks the right DESCRIBE_CONFIGS on it"
"""Why Kafka does not return a configuration; kafka-python hides which of the two it is."""

Configuration = Mapping[str, str]
"""The effective settings of a topic, the broker's defaults included."""


def create(connection: KafkaConnection, topics: Sequence[Topic]) -> list[str]:
    """Create the topics that do not exist, and return their names.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with translate_errors("creating topics"), closing(connection.admin()) as admin:
        there = set(admin.list_topics())
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            admin.create_topics(
                {
                    topic.name: {
                        "num_partitions": topic.partitions,
                        "replication_factor": topic.replication,
                        "configs": {r.name: r.value for r in topic.requirements if r.value},
                    }
                    for topic in missing
                },
                wait_for_metadata=True,
            )
        return [topic.name for topic in missing]


def find_drift(connection: KafkaConnection, topics: Sequence[Topic]) -> list[Difference]:
    """Each missing topic, and each setting that does not meet its requirement.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with translate_errors("looking up topics"), closing(connection.admin()) as admin:
        there = set(admin.list_topics())
        found = [topic for topic in topics if topic.name in there]
        missing = [
            Difference(topic.name, "does not exist", "no-topic")
            for topic in topics
            if topic.name not in there
        ]
        known = _configurations(admin, [topic.name for topic in found])
        for name, configuration in known.items():
            _check_described(name, configuration)
        return [*missing, *_shapes(admin, found), *compare(found, known)]


def configurations(
    connection: KafkaConnection, topics: Collection[str]
) -> dict[str, Configuration]:
    """The configuration of each topic; empty if Kafka does not return it.

    Raises:
        Unavailable: Kafka cannot be reached.
    """
    with translate_errors("looking up topics"), closing(connection.admin()) as admin:
        return _configurations(admin, topics)


def compare(topics: Iterable[Topic], known: Mapping[str, Configuration]) -> Iterator[Difference]:
    """Each setting that does not meet its requirement."""
    for topic in topics:
        configuration = known[topic.name]
        for required in topic.requirements:
            found = configuration.get(required.name, "")
            meaningless = not configuration.items().isdisjoint(required.unless)
            if not (required.accepts(found) or meaningless):
                message = f"has {required.name}={found}, not {required.wanted}: {required.reason}"
                yield Difference(topic.name, message, "topic-setting", required.stake)


def retention(connection: KafkaConnection, topic: str) -> timedelta | None:
    """The longest time that a topic keeps a record; None means for ever.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) the topic does not exist.
    """
    found = configurations(connection, [topic])[topic]
    _check_described(topic, found)
    return kept(found)


def kept(configuration: Configuration) -> timedelta | None:
    """The longest time that a record is kept; None means for ever, or too long for a timedelta.

    Kafka deletes whole segments, when the last record of a segment is old enough.
    """
    retained = whole_number(configuration.get("retention.ms", ""))
    segment = whole_number(configuration.get("segment.ms", ""))
    if "delete" not in configuration.get("cleanup.policy", ""):
        return None
    if retained is None or segment is None or min(retained, segment) < 0:
        return None
    try:
        return timedelta(milliseconds=retained + segment)
    except OverflowError:
        return None


def _configurations(admin: KafkaAdminClient, topics: Collection[str]) -> dict[str, Configuration]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
    if not resources:
        return {}
    described = admin.describe_configs(resources, config_filter="all")["topic"]
    return {
        name: {setting: str(entry["value"]) for setting, entry in described[name].items()}
        for name in topics
    }


def _check_described(topic: str, configuration: Configuration) -> None:
    if not configuration:
        raise Unavailable(
            f"Kafka does not return the configuration of {topic}: {NOT_DESCRIBED}",
            halt=True,
        )


def _shapes(admin: KafkaAdminClient, topics: Sequence[Topic]) -> Iterator[Difference]:
    described = {
        found["name"]: found["partitions"]
        for found in admin.describe_topics([topic.name for topic in topics] or None)
    }
    for topic in topics:
        partitions = described[topic.name]
        if len(partitions) != topic.partitions:
            message = f"has {len(partitions)} partitions, not {topic.partitions}"
            yield Difference(topic.name, message, "topic-partitions")
        replication = min((len(found["replica_nodes"]) for found in partitions), default=0)
        if replication < topic.replication:
            message = f"has {replication} replicas, not at least {topic.replication}"
            yield Difference(topic.name, message, "topic-replication")
