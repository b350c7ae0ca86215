"""The topics themselves: makes those that are missing, and compares them with what is wanted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from attrs import frozen

from voltpay_adapters.kafka.requirements import Requirement, Stake, whole_number
from voltpay_core.errors import Unavailable

UNTOLD = "there is no such topic, or the user lacks the right DESCRIBE_CONFIGS on it"
"""Why Kafka does not tell a configuration; clients pass over the reason."""

Configuration = Mapping[str, str]
"""The settings in force of a topic, the broker's defaults included."""


@frozen
class Topic:
    """A topic as it is wanted.

    Attributes:
        replication: Copies of each partition, at least.
        requirements: What its settings have to be.
    """

    name: str
    partitions: int
    replication: int
    requirements: Collection[Requirement] = ()


@frozen
class Difference:
    """A difference between a topic and what it has to be.

    Attributes:
        words: What is, and what it has to be.
        code: A stable word for programs, such as ``no-topic``.
    """

    topic: str
    words: str
    code: str
    stake: Stake = Stake.SERVICE

    def __str__(self) -> str:
        """One sentence."""
        return f"{self.topic} {self.words}"


@frozen
class Shape:
    """How a topic is laid out.

    Attributes:
        replication: Copies of the partition that has the fewest.
    """

    partitions: int
    replication: int


class TopicAdmin(Protocol):
    """What a Kafka client finds out about topics, and how it makes them."""

    def names(self) -> set[str]:
        """The topics of the cluster."""

    def create(self, topics: Sequence[Topic]) -> None:
        """Make these topics, and return when they are known."""

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        """The configuration of each topic, empty where Kafka does not tell it."""

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        """How each of these topics, which exist, is laid out."""


class KafkaCluster(Protocol):
    """A Kafka cluster, by whichever client."""

    @property
    def servers(self) -> tuple[str, ...]:
        """The servers to ask first, ``host:port`` each."""

    def topic_admin(self, doing: str) -> AbstractContextManager[TopicAdmin]:
        """A client for topics, closed in the end.

        Args:
            doing: What is tried, for people.

        Raises:
            Unavailable: Kafka cannot be reached, or (halt) does not permit it.
        """


def create(cluster: KafkaCluster, topics: Sequence[Topic]) -> list[str]:
    """Make those topics that are not there yet, and return their names.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) does not permit it.
    """
    with cluster.topic_admin("creating topics") as admin:
        there = admin.names()
        missing = [topic for topic in topics if topic.name not in there]
        if missing:
            admin.create(missing)
        return [topic.name for topic in missing]


def find_drift(cluster: KafkaCluster, topics: Sequence[Topic]) -> list[Difference]:
    """Each topic that is missing, and each setting that is not as it has to be.

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
            _check_told(name, configuration)
        return [*missing, *_shapes(admin, found), *compare(found, known)]


def configurations(cluster: KafkaCluster, topics: Collection[str]) -> dict[str, Configuration]:
    """The configuration of each topic, empty where Kafka does not tell it.

    Raises:
        Unavailable: Kafka cannot be reached.
    """
    with cluster.topic_admin("looking up topics") as admin:
        return admin.configurations(topics)


def compare(topics: Iterable[Topic], known: Mapping[str, Configuration]) -> Iterator[Difference]:
    """Each setting that is not as it has to be."""
    for topic in topics:
        configuration = known[topic.name]
        for required in topic.requirements:
            found = configuration.get(required.name, "")
            meaningless = not configuration.items().isdisjoint(required.unless)
            if not (required.accepts(found) or meaningless):
                words = f"has {required.name}={found}, not {required.wanted}: {required.reason}"
                yield Difference(topic.name, words, "topic-setting", required.stake)


def retention(cluster: KafkaCluster, topic: str) -> timedelta | None:
    """How long a topic keeps its records at most; None stands for ever.

    Raises:
        Unavailable: Kafka cannot be reached, or (halt) there is no such topic.
    """
    found = configurations(cluster, [topic])[topic]
    _check_told(topic, found)
    return kept(found)


def kept(configuration: Configuration) -> timedelta | None:
    """How long records are kept at most; None for ever, or for longer than Python can say.

    Kafka deletes whole segments, once the last record of one is old enough.
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


def _check_told(topic: str, configuration: Configuration) -> None:
    if not configuration:
        raise Unavailable(
            f"Kafka does not tell the configuration of {topic}: {UNTOLD}",
            halt=True,
        )


def _shapes(admin: TopicAdmin, topics: Sequence[Topic]) -> Iterator[Difference]:
    shapes = admin.shapes([topic.name for topic in topics])
    for topic in topics:
        found = shapes[topic.name]
        if found.partitions != topic.partitions:
            words = f"has {found.partitions} partitions, not {topic.partitions}"
            yield Difference(topic.name, words, "topic-partitions")
        if found.replication < topic.replication:
            words = f"has {found.replication} replicas, not at least {topic.replication}"
            yield Difference(topic.name, words, "topic-replication")
