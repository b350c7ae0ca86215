"""Creates missing topics, and compares existing ones with their requirements."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from attrs import frozen

from voltpay_adapters.kafka.requirements import Difference, Topic, whole_number
from voltpay_adapters.snapshots import Member
from voltpay_core.errors import Misconfigured, Unavailable

NOT_DESCRIBED = "the topic does not exist, or the user lacks the right DESCRIBE_CONFIGS on it"
"""Why Kafka does not return a configuration; clients hide which of the two it is."""

Configuration = Mapping[str, str]
"""The effective settings of a topic, the broker's defaults included."""


@frozen
class Shape:
    """The layout of a topic.

    Attributes:
        partitions: The number of partitions.
        replication: Replicas of the partition that has the fewest.
    """

    partitions: int
    replication: int


class TopicAdmin(Protocol):
    """What every Kafka client can do with topics."""

    def names(self) -> set[str]:
        """The topics of the cluster."""

    def create(self, topics: Sequence[Topic]) -> list[Topic]:
        """Create these topics, and return when a broker knows them; others may learn it later.

        Returns:
            Those that exist already; they are left as they are.
        """

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        """The configuration of each topic; empty if Kafka does not return it."""

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        """The layout of each of these existing topics."""

    def offsets(self, topic: str) -> dict[int, range]:
        """The offsets of each partition, open transactions included; empty without the topic."""

    def acknowledged(self, group: str, topic: str) -> dict[int, int]:
        """The offsets that a group has committed in this topic, not in a former one of the name."""

    def members(self, group: str, topic: str) -> tuple[Member, ...]:
        """The members of a group, and their partitions of this topic."""


class KafkaCluster(Protocol):
    """A Kafka cluster, by any client."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The bootstrap servers, ``host:port`` each."""

    def topic_admin(self, doing: str) -> AbstractContextManager[TopicAdmin]:
        """A client for topics, closed in the end.

        Args:
            doing: What is attempted, in words.

        Raises:
            Unavailable: Kafka cannot be reached, or (halt) does not permit it.
        """


def create(cluster: KafkaCluster, topics: Sequence[Topic]) -> list[str]:
    """Create the topics that do not exist, and return their names.

    Raises:
        Misconfigured: Somebody else has created a topic meanwhile, with another layout.
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with cluster.topic_admin("creating topics") as admin:
        there = admin.names()
        missing = [topic for topic in topics if topic.name not in there]
        # a client may also find its own topic if it repeats a request whose answer was lost
        appeared = admin.create(missing) if missing else []
        if difference := next(_shape_drift(admin, appeared), None):
            raise Misconfigured(str(difference), code=difference.code)
        return [topic.name for topic in missing]


def find_drift(cluster: KafkaCluster, topics: Sequence[Topic]) -> list[Difference]:
    """Each missing topic, and each setting that does not meet its requirement.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with cluster.topic_admin("looking up topics") as admin:
        there = admin.names()
        found = [topic for topic in topics if topic.name in there]
        missing = [
            Difference(topic.name, "does not exist", "no-topic")
            for topic in topics
            if topic.name not in there
        ]
        known = admin.configurations([topic.name for topic in found])
        for name, configuration in known.items():
            _check_described(name, configuration)
        return [*missing, *_shape_drift(admin, found), *compare(found, known)]


def configurations(cluster: KafkaCluster, topics: Collection[str]) -> dict[str, Configuration]:
    """The configuration of each topic; empty if Kafka does not return it.

    Raises:
        Unavailable: Kafka cannot be reached.
    """
    with cluster.topic_admin("looking up topics") as admin:
        return admin.configurations(topics)


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


def retention(cluster: KafkaCluster, topic: str) -> timedelta | None:
    """The longest time that a topic keeps a record; None means for ever.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) the topic does not exist.
    """
    found = configurations(cluster, [topic])[topic]
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


def _check_described(topic: str, configuration: Configuration) -> None:
    if not configuration:
        raise Unavailable(
            f"Kafka does not return the configuration of {topic}: {NOT_DESCRIBED}",
            halt=True,
        )


def _shape_drift(admin: TopicAdmin, topics: Sequence[Topic]) -> Iterator[Difference]:
    shapes = admin.shapes([topic.name for topic in topics])
    for topic in topics:
        found = shapes[topic.name]
        if found.partitions != topic.partitions:
            message = f"has {found.partitions} partitions, not {topic.partitions}"
            yield Difference(topic.name, message, "topic-partitions")
        if found.replication < topic.replication:
            message = f"has {found.replication} replicas, not at least {topic.replication}"
            yield Difference(topic.name, message, "topic-replication")
