"""Topics by librdkafka's client for administration."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
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

from voltpay_adapters.kafka.topics import Configuration, Shape, Topic

_UNTOLD = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
}
_SOON = 0.05
"""Seconds between two looks for a topic that was just made."""


@frozen
class Description:
    """A topic as the brokers know it.

    Attributes:
        topic_id: What it got when it was made; None where the brokers do not have ids.
    """

    topic_id: UUID | None
    shape: Shape


@frozen
class ConfluentTopicAdmin:
    """A `TopicAdmin` over an open client.

    Attributes:
        timeout: Seconds for one answer.
    """

    _client: AdminClient
    _timeout: float

    def names(self) -> set[str]:
        """The topics of the cluster."""
        return set(self._client.list_topics(timeout=self._timeout).topics)

    def create(self, topics: Sequence[Topic]) -> None:
        """Make these topics, and return when they are known."""
        new = [
            NewTopic(
                topic.name,
                num_partitions=topic.partitions,
                replication_factor=topic.replication,
                config={r.name: r.value for r in topic.requirements if r.value},
            )
            for topic in topics
        ]
        _results(self._client.create_topics(new, request_timeout=self._timeout).values())
        deadline = time.monotonic() + self._timeout
        for topic in topics:
            while self.describe(topic.name) is None and time.monotonic() < deadline:
                time.sleep(_SOON)

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        """The configuration of each topic, empty where Kafka does not tell it."""
        if not topics:
            return {}
        asked = self._client.describe_configs(
            [ConfigResource(ConfigResource.Type.TOPIC, name) for name in topics],
            request_timeout=self._timeout,
        )
        return {resource.name: _told(answer) for resource, answer in asked.items()}

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        """How each of these topics is laid out."""
        return {name: found.shape for name in topics if (found := self.describe(name))}

    def describe(self, topic: str) -> Description | None:
        """A topic as the brokers know it; None where they know none."""
        return described(self.ask(topic))

    def ask(self, topic: str) -> Future[Any]:
        """An answer to come, for `described`."""
        asked = TopicCollection([topic])
        found: Future[Any] = self._client.describe_topics(asked, request_timeout=self._timeout)[
            topic
        ]
        return found

    def starts(self, tps: Collection[TopicPartition]) -> dict[int, int]:
        """The first offset of each of these partitions of one topic."""
        return self._offsets(tps, OffsetSpec.earliest())

    def ends(self, tps: Collection[TopicPartition]) -> dict[int, int]:
        """The offset behind the last committed record of each."""
        return self._offsets(tps, OffsetSpec.latest())

    def committed(self, group: str, tps: Collection[TopicPartition]) -> list[TopicPartition]:
        """What a group has committed, with its metadata; an offset below 0 where it has nothing."""
        asked = ConsumerGroupTopicPartitions(group, list(tps))
        answers = self._client.list_consumer_group_offsets(
            [asked], require_stable=True, request_timeout=self._timeout
        )
        found: list[TopicPartition] = answers[group].result().topic_partitions
        return found

    def _offsets(self, tps: Collection[TopicPartition], spec: OffsetSpec) -> dict[int, int]:
        if not tps:
            return {}
        asked = self._client.list_offsets(
            dict.fromkeys(tps, spec),
            isolation_level=IsolationLevel.READ_COMMITTED,
            request_timeout=self._timeout,
        )
        return {tp.partition: answer.result().offset for tp, answer in asked.items()}


def described(answer: Future[Any]) -> Description | None:
    """What an answer tells of a topic; None where there is none."""
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


def _told(answer: Future[Any]) -> Configuration:
    try:
        found = answer.result()
    except KafkaException as error:
        if error.args[0].code() in _UNTOLD:
            return {}
        raise
    return {name: str(entry.value) for name, entry in found.items()}


def _results(answers: Iterable[Future[Any]]) -> None:
    for answer in answers:
        answer.result()
