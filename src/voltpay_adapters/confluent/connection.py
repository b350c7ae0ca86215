"""Connects to Kafka by librdkafka: servers and options, and the meaning of its errors."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any, Self

from attrs import field, frozen
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer
from confluent_kafka.admin import AdminClient

from voltpay_adapters.confluent.options import (
    access_options,
    checked,
    is_known_access,
    with_security,
)
from voltpay_adapters.confluent.topic_admin import ConfluentTopicAdmin
from voltpay_adapters.kafka import urls
from voltpay_adapters.kafka.preflight import check_access, tls_context
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_core.errors import Fenced, Misconfigured, Unavailable
from voltpay_core.records import Partition

_log = logging.getLogger("voltpay.kafka.librdkafka")

_FENCING_ERRORS = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError._ASSIGNMENT_LOST,
}
_FATAL_ERRORS = {
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
    KafkaError.DELEGATION_TOKEN_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.INVALID_MSG,
    KafkaError.SASL_AUTHENTICATION_FAILED,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.UNSUPPORTED_COMPRESSION_TYPE,
    KafkaError.UNSUPPORTED_SASL_MECHANISM,
    KafkaError._AUTHENTICATION,
    KafkaError._BAD_COMPRESSION,
    KafkaError._BAD_MSG,
}
_UNREACHABLE = {
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
    KafkaError._TIMED_OUT,
    KafkaError._TRANSPORT,
}
METADATA_MS = 5_000
"""How long a client keeps its metadata."""

TIMEOUT = 15.0
"""Seconds for one answer of a broker."""


@frozen
class ConfluentConnection:
    """The bootstrap servers, and options for every client.

    Certificate and credentials are checked once, before the first client. If they become wrong
    later, that counts as an outage, which is retried.

    Attributes:
        servers: ``host:port`` each.
        options: Options of librdkafka, security included.
    """

    servers: tuple[str, ...]
    options: Mapping[str, str] = field(factory=dict, repr=False)
    _access: Mapping[str, Any] | None = field(default=None, repr=False)
    _checked: Event = field(factory=Event, init=False, repr=False, eq=False)

    @classmethod
    def parse(
        cls,
        url: str,
        options: Mapping[str, str] | None = None,
        security: KafkaSecurity | None = None,
    ) -> Self:
        """Read ``kafka://host:port[,host:port]``.

        Args:
            options: Options of librdkafka; underscores stand for dots.
            security: Encryption and credentials; the options take precedence.

        Raises:
            Misconfigured: The URL is malformed, an option is unknown or fixed, a certificate
                cannot be read, or user name or password are missing.
        """
        try:
            servers = urls.servers(url)
        except ValueError as error:
            raise Misconfigured(f"Kafka's URL {error}") from None
        secured = with_security(security or KafkaSecurity(), options or {})
        access = access_options(secured)
        if is_known_access(secured):
            access["ssl_context"] = tls_context(access)
            return cls(servers, checked(secured), access)
        return cls(servers, checked(secured))

    def consumer(
        self, group: str, notify: Callable[[KafkaError], None], defaults: Mapping[str, Any]
    ) -> Consumer:
        """A consumer without automatic commits that reads committed records only.

        Args:
            notify: Called with errors that belong to no request, while the client is polled.
            defaults: Options that apply unless the connection sets them.
        """
        fixed = {
            "allow.auto.create.topics": False,
            "auto.offset.reset": "error",  # an offset out of range must raise, not be skipped
            "check.crcs": True,
            "enable.auto.commit": False,
            "enable.auto.offset.store": False,
            "enable.partition.eof": True,
            "error_cb": notify,
            "group.id": group,
            "isolation.level": "read_committed",
            "partition.assignment.strategy": "cooperative-sticky",
        }
        return Consumer(self._configuration(defaults, fixed))

    def producer(
        self,
        notify: Callable[[KafkaError], None],
        defaults: Mapping[str, Any],
    ) -> Producer:
        """A producer whose records are acknowledged by all replicas, in order and once.

        Args:
            notify: Called with errors that belong to no record, while the client is polled.
            defaults: Options that apply unless the connection sets them.
        """
        fixed = {
            "acks": "all",
            "delivery.timeout.ms": 0,  # for ever: no record overtakes one that was given up
            "enable.idempotence": True,
            "error_cb": notify,
            "partitioner": "murmur2_random",  # Java's, and kafka-python's
        }
        return Producer(self._configuration(defaults, fixed))

    def admin(self) -> AdminClient:
        """A client for topics and groups."""
        return AdminClient(self._configuration({}, {}))

    @contextmanager
    def topic_admin(self, doing: str) -> Iterator[ConfluentTopicAdmin]:
        """A client for topics."""
        with translate_errors(doing):
            yield ConfluentTopicAdmin(self.admin(), TIMEOUT)

    def _configuration(
        self, defaults: Mapping[str, Any], fixed: Mapping[str, Any]
    ) -> dict[str, Any]:
        access = self._access
        if access and not self._checked.is_set() and check_access(self.servers, access):
            self._checked.set()
        return {
            "bootstrap.servers": ",".join(self.servers),
            "logger": _Logger(),
            "topic.metadata.refresh.interval.ms": METADATA_MS,
            **defaults,
            **self.options,
            **fixed,
        }


class _Logger:
    """Receives the log of librdkafka, which would go to stderr."""

    def log(self, level: int, text: str, *args: object) -> None:
        del level  # errors that matter are raised as well
        _log.debug(text, *args)


@contextmanager
def translate_errors(doing: str, partitions: frozenset[Partition] = frozenset()) -> Iterator[None]:
    """Translate the errors of librdkafka into the core's kinds of failure.

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
    except KafkaException as error:
        raise failure(error.args[0], doing, partitions) from error


def failure(
    error: KafkaError, doing: str, partitions: frozenset[Partition] = frozenset()
) -> Fenced | Misconfigured | Unavailable:
    """The core's failure for an error of librdkafka."""
    code = error.code()
    if code in _FENCING_ERRORS:
        return Fenced(partitions, f"Kafka: {doing}: {error.str()}")
    if code == KafkaError._INVALID_ARG:
        return Misconfigured(f"the options of the Kafka client cannot work: {error.str()}")
    return Unavailable(
        f"Kafka: {doing}: {error.str()}",
        halt=is_final(error),
        code="no-broker" if code in _UNREACHABLE else "kafka",
    )


def is_final(error: KafkaError) -> bool:
    """Whether a retry cannot help."""
    return error.code() in _FATAL_ERRORS
