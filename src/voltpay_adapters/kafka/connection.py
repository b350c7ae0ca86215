"""Connects to Kafka: servers and client options, and the meaning of its errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from threading import Event
from typing import Any, Self

from attrs import field, frozen
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka import errors as kafka_errors

from voltpay_adapters.kafka import urls
from voltpay_adapters.kafka.preflight import check_access, tls_context
from voltpay_adapters.kafka.topic_admin import KafkaTopicAdmin
from voltpay_core.errors import Fenced, Misconfigured, Unavailable
from voltpay_core.records import Partition

_FENCING_ERRORS = (
    kafka_errors.CommitFailedError,
    kafka_errors.IllegalGenerationError,
    kafka_errors.RebalanceInProgressError,
    kafka_errors.UnknownMemberIdError,
)
_FATAL_ERRORS = (
    kafka_errors.AuthorizationError,
    kafka_errors.CorruptRecordError,  # kafka-python's next poll would never return
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedCodecError,
    kafka_errors.UnsupportedCompressionTypeError,
    kafka_errors.UnsupportedSaslMechanismError,
)
BOOTSTRAP_MS = 10_000
"""How long a new client tries to reach the cluster before that counts as an outage."""

METADATA_MS = 5_000
"""How long a consumer keeps its metadata. kafka-python keeps asking a former leader for offsets
until its metadata expires; its default is five minutes."""

_FIXED = {
    *("acks", "allow_auto_create_topics", "auto_offset_reset", "bootstrap_servers"),
    *("delivery_timeout_ms", "enable_auto_commit", "enable_idempotence", "group_id"),
    *("group_instance_id", "isolation_level", "key_deserializer", "key_serializer"),
    *("partition_assignment_strategy", "transactional_id", "value_deserializer"),
    "value_serializer",
}
_OBJECTS = {"api_version", "sasl_oauth_token_provider", "ssl_context"}
_NUMBERS = {"receive_buffer_bytes", "send_buffer_bytes"}
_LARGEST = 2**31 - 1  # the largest number in a request
_CODECS = ("gzip", "lz4", "snappy", "zstd")
_CLIENTS = (KafkaConsumer, KafkaProducer, KafkaAdminClient)


@frozen
class KafkaConnection:
    """The bootstrap servers, and options for every client.

    Certificate and credentials are checked once, before the first client. If they become wrong
    later, that counts as an outage, which is retried.

    Attributes:
        servers: ``host:port`` each.
        options: Options of kafka-python, security included; each client takes those it knows.
    """

    servers: tuple[str, ...]
    options: Mapping[str, Any] = field(factory=dict, repr=False)
    _checked: Event = field(factory=Event, init=False, repr=False, eq=False)

    @classmethod
    def parse(cls, url: str, options: Mapping[str, Any] | None = None) -> Self:
        """Read ``kafka://host:port[,host:port]``; convert options that are text to their type.

        Raises:
            Misconfigured: The URL is malformed, an option is unknown or fixed, or a certificate
                cannot be read.
        """
        try:
            servers = urls.servers(url)
        except ValueError as error:
            raise Misconfigured(f"Kafka's URL {error}") from None
        typed = {name: _typed(name, value) for name, value in (options or {}).items()}
        return cls(servers, {"ssl_context": tls_context(typed), **typed})

    def consumer(self, *topics: str, **defaults: Any) -> KafkaConsumer:
        """A consumer without automatic commits that reads committed records only."""
        fixed = {
            "allow_auto_create_topics": False,
            "enable_auto_commit": False,
            "isolation_level": "read_committed",
        }
        defaults = {"metadata_max_age_ms": METADATA_MS} | defaults
        return KafkaConsumer(*topics, **self._configuration(KafkaConsumer, defaults, fixed))

    def producer(self, **defaults: Any) -> KafkaProducer:
        """A producer whose records are acknowledged by all replicas, in order and once."""
        fixed = {"acks": "all", "allow_auto_create_topics": False, "enable_idempotence": True}
        return KafkaProducer(**self._configuration(KafkaProducer, defaults, fixed))

    def admin(self) -> KafkaAdminClient:
        """A client for topics and groups."""
        return KafkaAdminClient(**self._configuration(KafkaAdminClient, {}, {}))

    @contextmanager
    def topic_admin(self, doing: str) -> Iterator[KafkaTopicAdmin]:
        """A client for topics, closed in the end."""
        with translate_errors(doing), closing(self.admin()) as client:
            yield KafkaTopicAdmin(client)

    def _configuration(
        self, client: Any, defaults: Mapping[str, Any], fixed: Mapping[str, Any]
    ) -> dict[str, Any]:
        if not self._checked.is_set() and check_access(self.servers, self.options):
            self._checked.set()
        return {
            "bootstrap_servers": list(self.servers),
            "bootstrap_timeout_ms": BOOTSTRAP_MS,
            **defaults,
            **{name: v for name, v in self.options.items() if name in client.DEFAULT_CONFIG},
            **fixed,
        }


@contextmanager
def translate_errors(doing: str, partitions: frozenset[Partition] = frozenset()) -> Iterator[None]:
    """Translate the errors of kafka-python into the core's kinds of failure.

    Args:
        doing: What is attempted, in words.
        partitions: The partitions that a `Fenced` names.

    Raises:
        Fenced: The group has assigned the partitions again, and this member is out of date.
        Misconfigured: Options of the client contradict each other.
        Unavailable: Any other error of Kafka or its client.
    """
    try:
        yield
    except _FENCING_ERRORS as error:
        raise Fenced(partitions, f"Kafka: {doing}: {type(error).__name__}") from error
    except kafka_errors.KafkaConfigurationError as error:
        raise Misconfigured(f"the options of the Kafka client cannot work: {error}") from error
    except (kafka_errors.KafkaError, OSError) as error:
        halt = isinstance(error, _FATAL_ERRORS)
        words, code = type(error).__name__, "kafka"
        if isinstance(error, kafka_errors.KafkaTimeoutError) and "bootstrap" in str(error):
            words, code = str(error), "no-broker"
        raise Unavailable(f"Kafka: {doing}: {words}", halt=halt, code=code) from error


def _typed(name: str, value: Any) -> Any:
    if name in _FIXED:
        raise Misconfigured(f"the Kafka option {name} is fixed by the writer's guarantees")
    defaults = [client.DEFAULT_CONFIG[name] for client in _CLIENTS if name in client.DEFAULT_CONFIG]
    if not defaults:
        raise Misconfigured(f"kafka-python has no option {name}")
    return _read(name, value, defaults[0]) if isinstance(value, str) else value


def _read(name: str, text: str, default: object) -> object:
    if name in _OBJECTS or not isinstance(default, bool | int | float | str | None):
        raise Misconfigured(f"the Kafka option {name} cannot be given as text")
    if name == "compression_type" and text not in _CODECS:
        raise Misconfigured(f"the Kafka option {name} needs one of {', '.join(_CODECS)}")
    if isinstance(default, bool):
        return text.lower() in {"1", "true", "yes", "on"}
    if not isinstance(default, int | float) and name not in _NUMBERS:
        return text
    try:
        number = float(text) if isinstance(default, float) else int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= _LARGEST:
        raise Misconfigured(f"the Kafka option {name} needs a number from 0 to {_LARGEST}")
    return number
