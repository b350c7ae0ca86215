"""Apache Kafka: the source of payments and the publisher of their events."""

try:
    import kafka  # noqa: F401 - only to name the missing package
except ModuleNotFoundError as missing:
    raise ImportError(
        "voltpay_adapters.kafka needs kafka-python: pip install kafka-python"
    ) from missing

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.source import KafkaSource

__all__ = ["KafkaConnection", "KafkaPublisher", "KafkaSource"]
