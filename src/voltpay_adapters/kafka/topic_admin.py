"""Topics by the admin client of kafka-python."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from attrs import frozen
from kafka import KafkaAdminClient, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType, OffsetSpec
from kafka.errors import (
    NoError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.resuming import is_of_another
from voltpay_adapters.kafka.topics import Configuration, Shape
from voltpay_adapters.snapshots import Member
from voltpay_core.errors import Unavailable

_NO_GROUP = "GroupIdNotFoundError"


@frozen
class KafkaTopicAdmin:
    """A `TopicAdmin` over an open client."""

    _client: KafkaAdminClient

    def names(self) -> set[str]:
        """The topics of the cluster."""
        return set(self._client.list_topics())

    def create(self, topics: Sequence[Topic]) -> list[Topic]:
        """Create these topics, and return when a broker knows them."""
        new = {
            topic.name: {
                "num_partitions": topic.partitions,
                "replication_factor": topic.replication,
                "configs": {r.name: r.value for r in topic.requirements if r.value},
            }
            for topic in topics
        }
        answers = self._client.create_topics(new, raise_errors=False)["topics"]
        errors = {answer["name"]: for_code(answer["error_code"]) for answer in answers}
        for error in errors.values():
            if error not in {NoError, TopicAlreadyExistsError}:
                raise error
        self._client.wait_for_topics(list(new))
        return [topic for topic in topics if errors[topic.name] is TopicAlreadyExistsError]

    def configurations(self, topics: Collection[str]) -> dict[str, Configuration]:
        """The configuration of each topic; empty if Kafka does not return it."""
        resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
        if not resources:
            return {}
        described = self._client.describe_configs(resources, config_filter="all")["topic"]
        return {
            name: {setting: str(entry["value"]) for setting, entry in described[name].items()}
            for name in topics
        }

    def shapes(self, topics: Collection[str]) -> dict[str, Shape]:
        """The layout of each of these topics."""
        if not topics:
            return {}
        return {
            found["name"]: Shape(
                len(found["partitions"]),
                min((len(each["replica_nodes"]) for each in found["partitions"]), default=0),
            )
            for found in self._client.describe_topics(list(topics))
        }

    def offsets(self, topic: str) -> dict[int, range]:
        """The offsets of each partition, open transactions included; empty without the topic."""
        if (found := self._describe(topic)) is None:
            return {}
        for each in found["partitions"]:
            if each["leader_id"] < 0:
                partition = f"{topic}-{each['partition_index']}"
                raise Unavailable(f"Kafka: {partition} has no leader at the moment", code="kafka")
        numbers = sorted(each["partition_index"] for each in found["partitions"])
        tps = [TopicPartition(topic, number) for number in numbers]
        starts = self._client.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.EARLIEST))
        ends = self._client.list_partition_offsets(dict.fromkeys(tps, OffsetSpec.LATEST))
        return {tp.partition: range(starts[tp].offset, ends[tp].offset) for tp in tps}

    def acknowledged(self, group: str, topic: str) -> dict[int, int]:
        """The offsets that a group has committed in this topic, not in a former one of the name."""
        if (found := self._describe(topic)) is None:
            return {}
        committed = self._client.list_group_offsets({group: None})[group]
        return {
            tp.partition: offset.offset
            for tp, offset in committed.items()
            if tp.topic == topic and not is_of_another(offset.metadata or "", found["topic_id"])
        }

    def members(self, group: str, topic: str) -> tuple[Member, ...]:
        """The members of a group, and their partitions of this topic."""
        found = self._client.describe_groups([group])[group]
        if (error := found["error"]) and _NO_GROUP not in error:
            raise Unavailable(
                f"Kafka does not describe the group {group}: {error}", halt=True, code="kafka"
            )
        return tuple(
            Member(
                member["client_id"],
                member["client_host"].removeprefix("/"),
                tuple(sorted(_assigned(member["member_assignment"], topic))),
            )
            for member in found["members"]
        )

    def _describe(self, topic: str) -> dict[str, Any] | None:
        """The description of a topic; None if it does not exist."""
        (found,) = self._client.describe_topics([topic])
        error = for_code(found["error_code"])
        if error is UnknownTopicOrPartitionError:
            return None
        if error is not NoError:
            raise error
        return dict(found)


def _assigned(assignment: Any, topic: str) -> Iterator[int]:
    """The partitions of a topic in an assignment, which is an empty text during a rebalance."""
    for each in assignment["assigned_partitions"] if assignment else ():
        if each["topic"] == topic:
            yield from each["partitions"]
