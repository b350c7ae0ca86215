"""Creates the four topics on their clusters, and compares them with the policy."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from attrs import frozen

from voltpay_adapters.findings import Finding, ask
from voltpay_adapters.kafka import topics
from voltpay_adapters.kafka.requirements import Difference, Stake, Topic, whole_number
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_adapters.kafka.urls import SCHEME
from voltpay_core.errors import Misconfigured


@frozen
class PaymentTopics:
    """The input topic on one cluster, and the three topics of events on the same or another one.

    Attributes:
        source: The cluster of the input topic; None if payments do not come from Kafka.
        events: The cluster of the other topics; None if events do not go to Kafka.
    """

    source: KafkaCluster | None
    events: KafkaCluster | None
    policy: TopicPolicy

    def create(self) -> list[str]:
        """Create the missing topics, the input topic first, and return their names.

        Raises:
            Misconfigured: No topic is on Kafka (``no-topics``), or somebody else has created one
                meanwhile with another layout.
            Unavailable: Kafka cannot be reached, or does not permit it.
        """
        created: list[str] = []
        if self.source:
            created += topics.create(self.source, self.policy.expected_topics()[:1])
        for connection, expected in self._clusters(self._longest()):
            created += topics.create(connection, expected)
        return created

    def find_drift(self) -> list[Difference]:
        """Return the differences from the policy.

        Raises:
            Misconfigured: No topic is on Kafka (``no-topics``).
            Unavailable: Kafka cannot be reached, or does not permit it.
        """
        return [
            difference
            for connection, expected in self._clusters(self._longest())
            for difference in topics.find_drift(connection, expected)
        ]

    def risks(self) -> list[Difference]:
        """Return the differences that endanger records, and the topics that cannot be checked.

        Raises:
            Misconfigured: Payments are lost although nothing fails (``payments-vanish``).
            Unavailable: Kafka cannot be reached.
        """
        found: list[Difference] = []
        unknown: list[Difference] = []
        for connection, expected in self._clusters():
            known = topics.configurations(connection, [topic.name for topic in expected])
            unknown += [
                Difference(name, f"is not checked: {topics.NOT_DESCRIBED}", "topic-unknown")
                for name, configuration in known.items()
                if not configuration
            ]
            found += topics.compare([topic for topic in expected if known[topic.name]], known)
        if fatal := [str(each) for each in found if each.stake is Stake.PAYMENTS]:
            raise Misconfigured("; ".join(fatal), code="payments-vanish")
        return [each for each in found if each.stake is Stake.RECORDS] + unknown

    def input_retention(self) -> timedelta:
        """The longest time that the input topic keeps a record; `timedelta.max` means for ever.

        If payments do not come from Kafka, it is the policy's value.

        Raises:
            Unavailable: Kafka cannot be reached.
        """
        if self.source is None:
            return self.policy.input_retention
        found = topics.retention(self.source, self.policy.names.writer)
        return timedelta.max if found is None else found

    def check(self) -> Iterator[Finding]:
        """Whether Kafka can be reached, and each difference from the policy."""
        found: list[Difference] = []

        def reach() -> str:
            found.extend(self.find_drift())
            servers = (",".join(connection.servers) for connection, _ in self._clusters())
            return f"reached {', '.join(f'{SCHEME}{each}' for each in servers)}"

        yield (reached := ask("broker", reach))
        if reached.failure:
            return
        for difference in found:
            yield Finding("topics", Misconfigured(str(difference), code=difference.code))
        if not found:
            yield Finding("topics", "all four match the settings")

    def _clusters(self, longest: int | None = None) -> list[tuple[KafkaCluster, list[Topic]]]:
        input_topic, *output_topics = self.policy.expected_topics(longest)
        if self.source and self.source is self.events:
            return [(self.source, [input_topic, *output_topics])]
        found = (self.source, [input_topic]), (self.events, output_topics)
        if not (self.source or self.events):
            raise Misconfigured("neither payments nor events are on Kafka", code="no-topics")
        return [(connection, expected) for connection, expected in found if connection]

    def _longest(self) -> int | None:
        """Bytes of the longest record that the input topic accepts; None if not known."""
        if self.source is None:
            return None
        name = self.policy.names.writer
        known = topics.configurations(self.source, [name])[name]
        return whole_number(known.get("max.message.bytes", ""))
