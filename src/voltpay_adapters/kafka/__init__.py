"""Apache Kafka: the source of payments and the publisher of their events."""

try:
    import kafka  # noqa: F401 - only to name the missing package
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "voltpay_adapters.kafka needs kafka-python: pip install 'voltpay[kafka]'", name="kafka"
    ) from None

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.source import KafkaSource

__all__ = ["KafkaConnection", "KafkaPublisher", "KafkaSource"]
