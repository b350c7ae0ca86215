"""The libraries that speak to Kafka, each as the same four things."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

from attrs import frozen

from voltpay_adapters.kafka.browsing import browse
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_core.errors import Misconfigured
from voltpay_core.ports import EventPublisher, MessageSource
from voltpay_core.records import Record


class TopicSource(MessageSource, Protocol):
    """A source that is a topic on Kafka."""

    def count_partitions(self) -> int:
        """How many partitions the topic has."""


@frozen
class KafkaClient:
    """A library that speaks to Kafka.

    Attributes:
        connect: Makes the connection that the others take, of a URL, the security and options.
        browse: Looks through a topic, leaving out what a group has acknowledged.
    """

    connect: Callable[[str, KafkaSecurity, Mapping[str, str]], KafkaCluster]
    source: Callable[..., TopicSource]
    publisher: Callable[..., EventPublisher]
    browse: Callable[..., Iterator[Record]]


def kafka_client(name: str) -> KafkaClient:
    """The library of that name, ``kafka-python`` or ``confluent``.

    Raises:
        Misconfigured: It is not installed.
    """
    if name == "confluent":
        return _confluent()
    return KafkaClient(
        lambda url, security, options: KafkaConnection.parse(url, security.options(options)),
        KafkaSource,
        KafkaPublisher,
        browse,
    )


def _confluent() -> KafkaClient:
    try:
        from voltpay_adapters import confluent  # noqa: PLC0415 - it may not be installed
    except ImportError as error:
        raise Misconfigured(str(error), code="kafka-client-missing") from None
    return KafkaClient(
        lambda url, security, options: confluent.ConfluentConnection.parse(url, options, security),
        confluent.ConfluentSource,
        confluent.ConfluentPublisher,
        confluent.browse,
    )
