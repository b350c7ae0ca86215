"""Apache Kafka: the source of payments and the publisher of their events."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from voltpay_adapters.lazy_imports import exports

if find_spec("kafka") is None:
    raise ModuleNotFoundError(
        "voltpay_adapters.kafka needs kafka-python: pip install 'voltpay[kafka]'", name="kafka"
    )

if TYPE_CHECKING:
    from voltpay_adapters.kafka.connection import KafkaConnection
    from voltpay_adapters.kafka.publisher import KafkaPublisher
    from voltpay_adapters.kafka.security import KafkaSecurity
    from voltpay_adapters.kafka.source import KafkaSource
else:
    __getattr__ = exports(
        __name__,
        KafkaConnection="connection",
        KafkaPublisher="publisher",
        KafkaSecurity="security",
        KafkaSource="source",
    )

__all__ = ["KafkaConnection", "KafkaPublisher", "KafkaSecurity", "KafkaSource"]
