"""A Kafka cluster in memory that knows topics, and no records."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from attrs import define, field

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import Configuration, Shape, TopicAdmin
from voltpay_adapters.snapshots import Member
from voltpay_core.errors import Unavailable

DEFAULTS = {
    "max.message.bytes": "1048588",
    "segment.bytes": "1073741824",
    "segment.ms": "604800000",
}


@define
class MemoryCluster:
    """A cluster that is also its own client.

    Attributes:
        shaped: The layout of each topic, in the order of their creation.
        settings: The configuration of each topic.
        hidden: Topics that appear after their names were listed.
        away: Whether it cannot be reached.
    """

    servers: tuple[str, ...] = ("one:9092", "two:9092")
    shaped: dict[str, Shape] = field(factory=dict)
    settings: dict[str, dict[str, str]] = field(factory=dict)
    hidden: Collection[str] = ()
    away: bool = False

    @contextmanager
    def topic_admin(self, doing: str) -> Iterator[TopicAdmin]:
        if self.away:
            raise Unavailable(f"Kafka: {doing}")
        yield self

    def names(self) -> set[str]:
        return self.shaped.keys() - set(self.hidden)

    def create(self, topics: Sequence[Topic]) -> list[Topic]:
        there = [topic for topic in topics if topic.name in self.shaped]
        for topic in (each for each in topics if each not in there):
            self.shaped[topic.name] = Shape(topic.partitions, topic.replication)
            stated = {each.name: each.value for each in topic.requirements if each.value}
            self.settings[topic.name] = DEFAULTS | stated
        return there

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        return {name: self.settings.get(name, {}) for name in topics}

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        return {name: self.shaped[name] for name in topics}

    def offsets(self, topic: str) -> dict[int, range]:
        raise NotImplementedError

    def acknowledged(self, group: str, topic: str) -> dict[int, int]:
        raise NotImplementedError

    def members(self, group: str, topic: str) -> tuple[Member, ...]:
        raise NotImplementedError
