"""Either client sees topics and groups alike: settings, offsets, members and records."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from attrs import frozen
from kafka import OffsetAndMetadata, TopicPartition
from tests.harness.deployment import eventually
from tests.harness.stack.kafka import KafkaAddress
from tests.integration.test_kafka import KafkaGroup

from voltpay_adapters import confluent
from voltpay_adapters.confluent import ConfluentConnection, ConfluentSource
from voltpay_adapters.kafka import KafkaConnection, KafkaPublisher, KafkaSource, browsing
from voltpay_adapters.kafka.groups import count_retained, read_group
from voltpay_adapters.kafka.requirements import Topic, exactly
from voltpay_adapters.kafka.topics import Shape, create
from voltpay_adapters.snapshots import Member
from voltpay_adapters.testing.contracts.source import own
from voltpay_core.errors import Unavailable
from voltpay_core.records import ProducerRecord, Record

NOWHERE = "nowhere"
CLIENTS: dict[str, tuple[Any, Any, Callable[..., Iterator[Record]]]] = {
    "kafka-python": (KafkaConnection, KafkaSource, browsing.browse),
    "confluent": (ConfluentConnection, ConfluentSource, confluent.browse),
}


@frozen
class Seen:
    """A topic of two partitions with a consumer group, and a client that looks at them."""

    connection: Any
    browse: Callable[..., Iterator[Record]]
    there: KafkaGroup

    @property
    def topic(self) -> str:
        return self.there.topic

    @property
    def group(self) -> str:
        return f"group-{self.topic}"

    def fill(self, values: Sequence[bytes]) -> None:
        """Put these into the first partition."""
        records = [ProducerRecord(self.topic, b"1", value, partition=0) for value in values]
        self.there.events.publish(records).wait()

    def values(self, **options: Any) -> list[list[bytes | None]]:
        """What is browsed of each partition."""
        found = list(self.browse(self.connection, self.topic, **options))
        return [
            [each.value for each in found if each.partition == p] for p in self.there.partitions
        ]

    def commit(self, offset: int, metadata: str = "", topic: str = "") -> None:
        """Let the group commit an offset in the first partition."""
        place = TopicPartition(topic or self.topic, 0)
        with closing(self.there.connection.admin()) as admin:
            admin.alter_group_offsets(self.group, {place: OffsetAndMetadata(offset, metadata, -1)})


@pytest.fixture(params=CLIENTS)
def seen(request: pytest.FixtureRequest, kafka: KafkaAddress) -> Iterator[Seen]:
    parsed, source, browse = CLIENTS[request.param]
    connection = parsed.parse(kafka.url, {"client_id": "a-client"})
    writing = KafkaConnection.parse(kafka.url)
    events = KafkaPublisher(writing, lambda: 2)
    there = KafkaGroup(writing, events, partial(source, connection))
    create(connection, [Topic(there.topic, 2, 2)])
    yield Seen(connection, browse, there)
    there.close_all()


def test_a_topic_is_as_it_was_created(seen: Seen) -> None:
    """A new topic has its partitions, replicas and settings; others keep the broker's defaults."""
    one, two = (f"{seen.topic}-{name}" for name in ("one", "two"))
    with seen.connection.topic_admin("testing") as admin:
        admin.create([Topic(one, 3, 2, [exactly("retention.ms", "4711", "")]), Topic(two, 1, 1)])
        eventually(lambda: {one, two} <= admin.names())
        assert NOWHERE not in admin.names()
        expected = {one: Shape(3, 2), two: Shape(1, 1)}
        eventually(lambda: admin.shapes([one, two]) == expected)
        eventually(lambda: all(admin.configurations([one, two]).values()))
        found = admin.configurations([one, two, NOWHERE])
        assert [found[name]["retention.ms"] for name in (one, two)] == ["4711", "-1"]
        assert found[NOWHERE] == {}
        assert admin.shapes([]) == admin.configurations([]) == {}


def test_offsets_count_what_is_there(seen: Seen) -> None:
    """Offsets begin with the first record that is kept, and count open transactions."""
    first, second = seen.there.partitions
    for _ in range(3):
        seen.there.produce(first, b"value")
    with seen.connection.topic_admin("testing") as admin:
        with seen.there.transaction() as produce:
            produce(second, b"open")
            assert admin.offsets(seen.topic) == {0: range(3), 1: range(1)}
        seen.there.expire(first, 2)
        assert admin.offsets(seen.topic) == {0: range(2, 3), 1: range(2)}
        assert admin.offsets(NOWHERE) == {}
    assert count_retained(seen.connection, seen.topic) == 3
    with pytest.raises(Unavailable, match=f"no topic {NOWHERE}$") as caught:
        count_retained(seen.connection, NOWHERE)
    assert (caught.value.halt, caught.value.code) == (True, "no-topic")


def test_acknowledged_is_what_a_group_committed_in_this_topic(seen: Seen) -> None:
    """Offsets of other topics, and of a former topic of the same name, do not count."""
    other = f"{seen.topic}-other"
    create(seen.connection, [Topic(other, 1, 1)])
    _, second = seen.there.partitions
    seen.there.produce(second, b"value")
    source = seen.there.open()
    own(source, seen.there.partitions)
    source.acknowledge({second: 1})
    seen.there.close(source)
    with seen.connection.topic_admin("testing") as admin:
        seen.commit(7, topic=other)
        assert admin.acknowledged(seen.group, seen.topic) == {0: 0, 1: 1}
        seen.commit(1, f"topic-id={uuid4()}")
        assert admin.acknowledged(seen.group, seen.topic) == {1: 1}
        seen.commit(1)
        assert admin.acknowledged(seen.group, seen.topic) == {0: 1, 1: 1}
        assert admin.acknowledged(seen.group, NOWHERE) == {}
        assert admin.acknowledged(NOWHERE, seen.topic) == {}


def test_members_and_how_far_they_have_come(seen: Seen) -> None:
    """A group has the members that live, each with its address and its partitions in order."""
    first, _ = seen.there.partitions
    for _ in range(3):
        seen.there.produce(first, b"value")
    source = seen.there.open()
    own(source, seen.there.partitions)
    seen.there.expire(first, 2)
    state = read_group(seen.connection, seen.group, seen.topic)
    assert state.positions == {0: 2, 1: 0}
    assert state.ends == {0: 3, 1: 0}
    assert state.members == (Member("a-client", "127.0.0.1", (0, 1)),)
    source.acknowledge({first: 3})
    assert read_group(seen.connection, seen.group, seen.topic).positions == {0: 3, 1: 0}
    with seen.connection.topic_admin("testing") as admin:
        assert [each.partitions for each in admin.members(seen.group, NOWHERE)] == [()]
        assert admin.members(NOWHERE, seen.topic) == ()
    seen.there.close(source)
    assert read_group(seen.connection, seen.group, seen.topic).members == ()


def test_a_topic_is_browsed_whole_or_in_part(seen: Seen) -> None:
    """All records of a topic come once, or its newest, or those from an offset of a partition."""
    first, second = seen.there.partitions
    values = [b"%d" % number for number in range(600)]  # more than a client gets in one call
    seen.fill(values)
    seen.there.produce(second, b"before")
    seen.there.leave_gap(second)
    seen.there.produce(second, b"behind")
    seen.there.leave_gap(second)
    assert seen.values() == [values, [b"before", b"behind"]]
    assert seen.values(newest=8) == [values[-4:], [b"behind"]]
    assert seen.values(newest=1) == [[], []]
    assert seen.values(begin=(0, 598)) == [values[-2:], []]
    assert seen.values(begin=(1, 1)) == [[], [b"behind"]]
    assert seen.values(begin=(1, 600)) == [[], []]
    seen.there.expire(first, 595)
    assert seen.values(begin=(0, 0)) == [values[-5:], []]


def test_what_a_group_has_acknowledged_is_not_browsed(seen: Seen) -> None:
    """The records of a group are those behind its offsets, where these are of this topic."""
    values = [b"%d" % number for number in range(4)]
    seen.fill(values)
    seen.there.produce(seen.there.partitions[1], b"other")
    assert seen.values(group=seen.group) == [values, [b"other"]]
    seen.commit(1)
    assert seen.values(group=seen.group) == [values[1:], [b"other"]]
    seen.commit(1, f"topic-id={uuid4()}")
    assert seen.values(group=seen.group) == [values, [b"other"]]
    seen.commit(1)
    seen.there.expire(seen.there.partitions[0], 2)
    assert seen.values(group=seen.group) == [values[2:], [b"other"]]
    assert seen.values() == [values[2:], [b"other"]]


def test_a_topic_that_is_missing_cannot_be_browsed(seen: Seen) -> None:
    """Only a person can help where there is no such topic."""
    with pytest.raises(Unavailable, match=f"no topic {NOWHERE}$") as caught:
        list(seen.browse(seen.connection, NOWHERE))
    assert (caught.value.halt, caught.value.code) == (True, "no-topic")
