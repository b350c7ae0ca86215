"""The Kafka clients that the setting ``kafka.client`` chooses from."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from attrs import frozen

from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_core.errors import Misconfigured
from voltpay_core.ports import EventPublisher, MessageSource
from voltpay_core.records import Record


class TopicSource(MessageSource, Protocol):
    """A source that reads a topic on Kafka."""

    def count_partitions(self) -> int:
        """The number of partitions of the topic."""


@frozen
class KafkaClient:
    """The adapters of a Kafka client.

    Attributes:
        connect: Makes the connection for the others from a URL, the security and options.
        browse: Reads a topic; skips the records that a group has acknowledged.
        overlap: Batches whose events can be on their way while the next batch is written: none if
            the publisher sends them only when they are waited for.
    """

    connect: Callable[[str, KafkaSecurity, Mapping[str, str]], KafkaCluster]
    source: Callable[..., TopicSource]
    publisher: Callable[..., EventPublisher]
    browse: Callable[..., Iterator[Record]]
    overlap: int


def kafka_client(name: str) -> KafkaClient:
    """The client of that name, ``kafka-python`` or ``confluent``.

    Raises:
        Misconfigured: It is not installed (``kafka-client-missing``).
    """
    return _confluent() if name == "confluent" else _kafka_python()


def _kafka_python() -> KafkaClient:
    from voltpay_adapters import kafka
    from voltpay_adapters.kafka.browsing import browse

    return KafkaClient(
        lambda url, security, options: kafka.KafkaConnection.parse(url, security.options(options)),
        kafka.KafkaSource,
        kafka.KafkaPublisher,
        browse,
        overlap=0,
    )


def _confluent() -> KafkaClient:
    try:
        from voltpay_adapters import confluent
    except ImportError as error:
        raise Misconfigured(str(error), code="kafka-client-missing") from None
    return KafkaClient(
        lambda url, security, options: confluent.ConfluentConnection.parse(url, options, security),
        confluent.ConfluentSource,
        confluent.ConfluentPublisher,
        confluent.browse,
        overlap=1,
    )
