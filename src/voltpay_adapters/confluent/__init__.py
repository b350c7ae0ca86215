"""Apache Kafka by librdkafka: the same source and publisher as with kafka-python, and faster."""

try:
    import confluent_kafka  # noqa: F401 - only to name the missing package
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "voltpay_adapters.confluent needs confluent-kafka: pip install 'voltpay[confluent]'",
        name="confluent_kafka",
    ) from None

from voltpay_adapters.confluent.browsing import browse
from voltpay_adapters.confluent.connection import ConfluentConnection
from voltpay_adapters.confluent.publisher import ConfluentPublisher
from voltpay_adapters.confluent.source import ConfluentSource

__all__ = ["ConfluentConnection", "ConfluentPublisher", "ConfluentSource", "browse"]
