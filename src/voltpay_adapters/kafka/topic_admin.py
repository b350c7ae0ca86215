"""Topics by the admin client of kafka-python."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import frozen
from kafka import KafkaAdminClient
from kafka.admin import ConfigResource, ConfigResourceType

from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import Configuration, Shape


@frozen
class KafkaTopicAdmin:
    """A `TopicAdmin` over an open client."""

    _client: KafkaAdminClient

    def names(self) -> set[str]:
        """The topics of the cluster."""
        return set(self._client.list_topics())

    def create(self, topics: Sequence[Topic]) -> None:
        """Create these topics, and return when the brokers know them."""
        self._client.create_topics(
            {
                topic.name: {
                    "num_partitions": topic.partitions,
                    "replication_factor": topic.replication,
                    "configs": {r.name: r.value for r in topic.requirements if r.value},
                }
                for topic in topics
            },
            wait_for_metadata=True,
        )

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
