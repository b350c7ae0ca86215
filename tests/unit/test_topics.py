"""Topics are created once, whatever happens meanwhile."""

from __future__ import annotations

import pytest
from tests.harness.topics import MemoryCluster

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import Shape, create
from voltpay_core.errors import Misconfigured

WANTED = [Topic("payments", 3, 2), Topic("events", 3, 2)]


def test_missing_topics_are_created_and_others_stay() -> None:
    """What is missing is created and named; a topic that is there keeps its layout."""
    cluster = MemoryCluster(shaped={"events": Shape(1, 1)})
    assert create(cluster, WANTED) == ["payments"]
    assert cluster.shaped == {"events": Shape(1, 1), "payments": Shape(3, 2)}
    assert create(cluster, WANTED) == []


@pytest.mark.parametrize("shape", [Shape(3, 2), Shape(3, 3)])
def test_a_topic_that_appears_meanwhile_is_created(shape: Shape) -> None:
    """A topic that somebody else creates with the wanted layout counts as created."""
    cluster = MemoryCluster(shaped={"events": shape}, hidden={"events"})
    assert create(cluster, WANTED) == ["payments", "events"]
    assert cluster.shaped["events"] == shape


@pytest.mark.parametrize(
    ("shape", "code"), [(Shape(1, 2), "topic-partitions"), (Shape(3, 1), "topic-replication")]
)
def test_a_topic_that_appears_with_another_layout_is_reported(shape: Shape, code: str) -> None:
    """A topic that somebody else creates with another layout is named, and does not change."""
    cluster = MemoryCluster(shaped={"events": shape}, hidden={"events"})
    with pytest.raises(Misconfigured, match=r"^events has 1 ") as found:
        create(cluster, WANTED)
    assert found.value.code == code
    assert cluster.shaped["events"] == shape
