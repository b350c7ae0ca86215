"""Topics are created once, whatever happens meanwhile."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import pytest
from attrs import define, field

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import Configuration, Shape, create
from voltpay_adapters.snapshots import Member
from voltpay_core.errors import Misconfigured

WANTED = [Topic("payments", 3, 2), Topic("events", 3, 2)]


@define
class Cluster:
    """A cluster in memory.

    Attributes:
        topics: The layout of each topic.
        hidden: Topics that are created after their names were listed.
    """

    topics: dict[str, Shape] = field(factory=dict)
    hidden: Collection[str] = ()

    @property
    def servers(self) -> tuple[str, ...]:
        return ("memory:0",)

    @contextmanager
    def topic_admin(self, doing: str) -> Iterator[Cluster]:
        yield self

    def names(self) -> set[str]:
        return self.topics.keys() - set(self.hidden)

    def create(self, topics: Sequence[Topic]) -> list[Topic]:
        there = [topic for topic in topics if topic.name in self.topics]
        for topic in topics:
            self.topics.setdefault(topic.name, Shape(topic.partitions, topic.replication))
        return there

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        return {name: {} for name in topics}

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        return {name: self.topics[name] for name in topics}

    def offsets(self, topic: str) -> dict[int, range]:
        return {}

    def acknowledged(self, group: str, topic: str) -> dict[int, int]:
        return {}

    def members(self, group: str, topic: str) -> tuple[Member, ...]:
        return ()


def test_missing_topics_are_created_and_others_stay() -> None:
    """What is missing is created and named; a topic that is there keeps its layout."""
    cluster = Cluster({"events": Shape(1, 1)})
    assert create(cluster, WANTED) == ["payments"]
    assert cluster.topics == {"events": Shape(1, 1), "payments": Shape(3, 2)}
    assert create(cluster, WANTED) == []


@pytest.mark.parametrize("shape", [Shape(3, 2), Shape(3, 3)])
def test_a_topic_that_appears_meanwhile_is_created(shape: Shape) -> None:
    """A topic that somebody else creates with the wanted layout counts as created."""
    cluster = Cluster({"events": shape}, hidden={"events"})
    assert create(cluster, WANTED) == ["payments", "events"]
    assert cluster.topics["events"] == shape


@pytest.mark.parametrize(
    ("shape", "code"), [(Shape(1, 2), "topic-partitions"), (Shape(3, 1), "topic-replication")]
)
def test_a_topic_that_appears_with_another_layout_is_reported(shape: Shape, code: str) -> None:
    """A topic that somebody else creates with another layout is named, and does not change."""
    cluster = Cluster({"events": shape}, hidden={"events"})
    with pytest.raises(Misconfigured, match=r"^events has 1 ") as found:
        create(cluster, WANTED)
    assert found.value.code == code
    assert cluster.topics["events"] == shape
