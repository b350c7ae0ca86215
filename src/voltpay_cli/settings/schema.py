"""All settings, their defaults and the values that they take.

docs/reference/settings.md has the meaning and the unit of each. Defaults of the library are taken
from there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.converters import optional
from typed_settings.cls_attrs import SECRET
from typed_settings.cls_utils import deep_options
from typed_settings.constants import METADATA_KEY

from voltpay_adapters import urls
from voltpay_adapters.kafka import defaults as kafka_defaults
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.postgres import defaults as database_defaults
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.text_files import read_secret
from voltpay_adapters.urls import Url
from voltpay_cli.settings.converters import (
    address,
    one_of,
    pairs,
    statuses,
    text,
    topic,
    whole,
)
from voltpay_cli.settings.masking import masked
from voltpay_core import consuming
from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec
from voltpay_core.errors import Misconfigured
from voltpay_core.payments import Status

if TYPE_CHECKING:
    from ssl import SSLContext

GIB = 1024**3

_SERVERLESS = {"source": "file:payments.jsonl", "store": "sqlite:voltpay.db", "events": "file:out"}
_CODEC = Codec()
_POLICY = TopicPolicy()
_SECURITY = KafkaSecurity()
_TIMEOUTS = Timeouts()


def setting(
    default: object, convert: Callable[[object], object], meaning: str = "", *, secret: bool = False
) -> Any:
    """A setting.

    Args:
        default: None makes the setting optional.
        meaning: The help of the flag that gives it.
    """
    return field(
        default=default,
        converter=optional(convert) if default is None else convert,
        repr=SECRET if secret else lambda value: repr(masked(value)),
        metadata={METADATA_KEY: {"help": meaning}},
    )


@frozen
class TopicSettings:
    """The four topics, and how `voltpay topics create` creates them."""

    writer: str = setting(_POLICY.names.writer, topic)
    read: str = setting(_POLICY.names.read, topic)
    email: str = setting(_POLICY.names.email, topic)
    dead_letter: str = setting(_POLICY.names.dead_letter, topic)
    partitions: int = setting(
        _POLICY.partitions, whole(1, 100_000), "number of partitions of each topic"
    )
    replication: int = setting(
        _POLICY.replication, whole(1, 100), "number of replicas of each partition"
    )
    retention_hours: int = setting(_POLICY.retention_hours, whole(1, 100_000))
    dead_letter_retention_hours: int = setting(
        _POLICY.dead_letter_retention_hours, whole(1, 100_000)
    )


@frozen
class WireSettings:
    """How events look."""

    account_field: str = setting(_CODEC.account_field, one_of("accountId", "custId"))
    event_headers: Mapping[str, str] = setting({}, pairs)


@frozen
class EmailSettings:
    """The e-mail events."""

    statuses: frozenset[Status] = setting(_CODEC.email_statuses, statuses)


@frozen
class LimitSettings:
    """Limits of the writer."""

    retry_seconds: int = setting(300, whole(0, 1_000_000))
    breaker: int = setting(Breaker().limit, whole(1, 1_000_000))
    batch_bytes: int = setting(kafka_defaults.BATCH_BYTES, whole(1024, GIB))
    value_bytes: int = setting(_CODEC.max_value_bytes, whole(1, GIB))
    publish_seconds: int = setting(kafka_defaults.ACK_TIMEOUT, whole(1, 3600))
    claims_days: int = setting(7, whole(1, 36_500))
    clock_skew_seconds: int = setting(database_defaults.CLOCK_SKEW, whole(1, 86_400))
    warm_ups: int = setting(3, whole(0, 1000))


@frozen
class KafkaSettings:
    """How to reach Kafka."""

    client: str = setting(
        "kafka-python",
        one_of("kafka-python", "confluent"),
        "the Kafka client: kafka-python or confluent",
    )
    protocol: str = setting(
        _SECURITY.protocol, one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    )
    sasl_mechanism: str = setting(
        _SECURITY.sasl_mechanism, one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    username: str | None = setting(None, text)
    password: str | None = setting(None, text, secret=True)
    password_file: str | None = setting(None, text)
    cafile: str | None = setting(None, text)
    certfile: str | None = setting(None, text)
    keyfile: str | None = setting(None, text)
    options: Mapping[str, str] = setting({}, pairs)


@frozen
class DatabaseSettings:
    """How to reach PostgreSQL, and what `voltpay db` needs beside the store."""

    password: str | None = setting(None, text, secret=True)
    password_file: str | None = setting(None, text)
    migrator: str | None = setting(None, urls.database_url)
    migrator_password: str | None = setting(None, text, secret=True)
    migrator_password_file: str | None = setting(None, text)
    superuser: str | None = setting(None, urls.database_url)
    lock_seconds: int = setting(_TIMEOUTS.lock, whole(1, 3600))
    statement_seconds: int = setting(_TIMEOUTS.statement, whole(1, 3600))
    idle_seconds: int = setting(_TIMEOUTS.idle, whole(1, 3600))
    sslmode: str = setting(database_defaults.SSLMODE, one_of("disable", "require", "verify-full"))
    sslrootcert: str | None = setting(None, text)
    liquibase: str = setting(database_defaults.LIQUIBASE, text)
    liquibase_classpath: str | None = setting(None, text)

    def writer_secret(self) -> str | None:
        """The writer's password, for a URL without one."""
        return read_secret(self.password, self.password_file, "database.password")

    def migrator_secret(self) -> str | None:
        """The migrator's password, for a URL without one."""
        return read_secret(
            self.migrator_password, self.migrator_password_file, "database.migrator_password"
        )

    def tls(self) -> SSLContext | None:
        """How connections are encrypted; None if they are not."""
        from voltpay_adapters.postgres.tls import tls_context  # noqa: PLC0415 - loads OpenSSL

        return tls_context(self.sslmode, self.sslrootcert)


@frozen
class Settings:
    """Everything that can be set, by flag, environment, ``voltpay.toml`` or default."""

    source: Url | None = setting(
        None, urls.source_url, f"where payments come from: {urls.SOURCE_FORMS}"
    )
    store: Url | None = setting(
        None,
        urls.store_url,
        "where payments are written: postgresql://user@host[:port]/database or sqlite:PATH",
    )
    events: Url | None = setting(
        None,
        urls.events_url,
        f"where events and dead letters go: {urls.EVENTS_FORMS}; by default the source, if that is"
        " Kafka",
    )
    node_id: int | str = setting(
        "auto", whole(0, 999, "auto"), "0 to 999, or auto for the first free one"
    )
    group: str = setting("voltpay-writer", topic, "the Kafka consumer group")
    batch_size: int = setting(
        consuming.BATCH_SIZE, whole(1, 1_000_000), "records of a batch, at most"
    )
    commit_unit: int | str = setting(
        "batch",
        whole(1, 1_000_000, "account", "batch"),
        "accounts that one transaction writes: account for one, a number, or batch for all of the"
        " batch",
    )
    listen: str | None = setting(
        None, address, "where metrics and probes are served: HOST:PORT, HOST or PORT"
    )
    log_level: str = setting(
        "info",
        one_of("debug", "info", "warning", "error"),
        "the lowest level that is logged: debug, info, warning or error",
    )
    log_format: str = setting(
        "text", one_of("text", "json"), "the format of all lines on stderr: text or json"
    )
    topics: TopicSettings = field(factory=TopicSettings)
    wire: WireSettings = field(factory=WireSettings)
    email: EmailSettings = field(factory=EmailSettings)
    limits: LimitSettings = field(factory=LimitSettings)
    kafka: KafkaSettings = field(factory=KafkaSettings)
    database: DatabaseSettings = field(factory=DatabaseSettings)

    @property
    def events_url(self) -> Url | None:
        """Where events go; by default the source, if that is Kafka."""
        return self.events or (self.source if self.source and self.source.is_kafka else None)

    def required(self, *names: str) -> list[Url]:
        """The URLs of source, store or events.

        Raises:
            Misconfigured: Some are missing; one message names them all, and how to set them.
        """
        given = {"source": self.source, "store": self.store, "events": self.events_url}
        if missing := [name for name in names if not given[name]]:
            meanings = {option.path: option.metadata["help"] for option in OPTIONS}
            parts = (f"{name} ({meanings[name].partition(':')[0]})" for name in missing)
            flags = " ".join(f"--{name} {_SERVERLESS[name]}" for name in missing)
            raise Misconfigured(
                f"not set: {', '.join(parts)}; give each by its flag, as"
                f" VOLTPAY_{missing[0].upper()} or in voltpay.toml; without any server: {flags}"
            )
        return [url for name in names if (url := given[name])]


OPTIONS = deep_options(Settings)
"""Every setting by itself, with its dotted name."""
