"""Topics by the admin client of librdkafka."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from attrs import frozen
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, OffsetSpec

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.resuming import is_of_another
from voltpay_adapters.kafka.topics import Configuration, Shape
from voltpay_adapters.snapshots import Member

_NOT_DESCRIBED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_SOON = 0.05
"""Seconds between two attempts to find a new topic."""


@frozen
class Description:
    """The id and the layout of a topic.

    Attributes:
        topic_id: None if the brokers have no topic ids.
    """

    topic_id: UUID | None
    shape: Shape


@frozen
class ConfluentTopicAdmin:
    """A `TopicAdmin` over an open client.

    Attributes:
        timeout: Seconds for one answer of a broker.
    """

    _client: AdminClient
    _timeout: float

    def names(self) -> set[str]:
        """The topics of the cluster."""
        return set(self._client.list_topics(timeout=self._timeout).topics)

    def create(self, topics: Sequence[Topic]) -> list[Topic]:
        """Create these topics, and return when a broker knows them."""
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication,
                config={r.name: r.value for r in topic.requirements if r.value},
            )
            for topic in topics
        ]
        answers = self._client.create_topics(new, request_timeout=self._timeout)
        there = [topic for topic in topics if not _is_new(answers[topic.name])]
        deadline = time.monotonic() + self._timeout
        for topic in topics:
            while self.describe(topic.name) is None and time.monotonic() < deadline:
                time.sleep(_SOON)
        return there

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        """The configuration of each topic; empty if Kafka does not return it."""
        if not topics:
            return {}
        asked = self._client.describe_configs(
            [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics],
            request_timeout=self._timeout,
        )
        return {resource.name: _configuration(answer) for resource, answer in asked.items()}

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        """The layout of each of these topics."""
        return {name: found.shape for name in topics if (found := self.describe(name))}

    def describe(self, topic: str) -> Description | None:
        """The id and the layout of a topic; None if it does not exist."""
        return described(self.ask(topic))

    def ask(self, topic: str) -> Future[Any]:
        """The future of an answer for `described`."""
        asked = TopicCollection([topic])
        found: Future[Any] = self._client.describe_topics(asked, request_timeout=self._timeout)[
            topic
        ]
        return found

    def starts(self, tps: Collection[TopicPartition]) -> dict[int, int]:
        """The first offset of each of these partitions of one topic."""
        return self._offsets(tps, OffsetSpec.earliest())

    def ends(self, tps: Collection[TopicPartition]) -> dict[int, int]:
        """The offset after the last committed record of each."""
        return self._offsets(tps, OffsetSpec.latest())

    def committed(self, group: str, tps: Collection[TopicPartition]) -> list[TopicPartition]:
        """The offsets that a group has committed, with their metadata; below 0 if there is none."""
        asked = ConsumerGroupTopicPartitions(group, list(tps))
        answers = self._client.list_consumer_group_offsets(
            [asked], require_stable=True, request_timeout=self._timeout
        )
        found: list[TopicPartition] = answers[group].result().topic_partitions
        return found

    def offsets(self, topic: str) -> dict[int, range]:
        """The offsets of each partition, open transactions included; empty without the topic."""
        if (found := self.describe(topic)) is None:
            return {}
        tps = _partitions(topic, found)
        starts = self.starts(tps)
        ends = self._offsets(tps, OffsetSpec.latest(), IsolationLevel.READ_UNCOMMITTED)
        return {number: range(start, ends[number]) for number, start in starts.items()}

    def acknowledged(self, group: str, topic: str) -> dict[int, int]:
        """The offsets that a group has committed in this topic, not in a former one of the name."""
        if (found := self.describe(topic)) is None:
            return {}
        return {
            tp.partition: tp.offset
            for tp in self.committed(group, _partitions(topic, found))
            if tp.offset >= 0 and not is_of_another(tp.metadata or "", found.topic_id)
        }

    def members(self, group: str, topic: str) -> tuple[Member, ...]:
        """The members of a group, and their partitions of this topic."""
        asked = self._client.describe_consumer_groups([group], request_timeout=self._timeout)
        found = asked[group].result()
        return tuple(
            Member(
                each.client_id,
                each.host.removeprefix("/"),
                tuple(
                    sorted(
                        tp.partition for tp in each.assignment.topic_partitions if tp.topic == topic
                    )
                ),
            )
            for each in found.members
        )

    def _offsets(
        self,
        tps: Collection[TopicPartition],
        spec: OffsetSpec,
        isolation: IsolationLevel = IsolationLevel.READ_COMMITTED,
    ) -> dict[int, int]:
        if not tps:
            return {}
        asked = self._client.list_offsets(
            dict.fromkeys(tps, spec), isolation_level=isolation, request_timeout=self._timeout
        )
        return {tp.partition: answer.result().offset for tp, answer in asked.items()}


def _partitions(topic: str, found: Description) -> list[TopicPartition]:
    return [TopicPartition(topic, number) for number in range(found.shape.partitions)]


def described(answer: Future[Any]) -> Description | None:
    """The topic that an answer describes; None if it does not exist."""
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            return None
        raise
    high, low = (
        found.topic_id.get_most_significant_bits(),
        found.topic_id.get_least_significant_bits(),
    )
    number = (high % 2**64) << 64 | low % 2**64
    replicas = [len(partition.replicas) for partition in found.partitions]
    return Description(
        UUID(int=number) if number else None, Shape(len(replicas), min(replicas, default=0))
    )


def _configuration(answer: Future[Any]) -> Configuration:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in _NOT_DESCRIBED:
            return {}
        raise
    return {name: str(entry.value) for name, entry in found.items()}


def _is_new(answer: Future[Any]) -> bool:
    """Whether a topic was created; false if it exists already."""
    try:
        answer.result()
    except KafkaException as error:
        if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        raise
    return True
