"""All settings, their defaults and the values that they take."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen
from attrs.converters import optional
from typed_settings.cls_attrs import SECRET
from typed_settings.cls_utils import deep_options

from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_cli.settings import converters
from voltpay_cli.settings.converters import Url
from voltpay_core.payments import Status

MIB = 1024 * 1024

_POLICY = TopicPolicy()
_NAMES = _POLICY.names


def setting(default: object, convert: Callable[[object], object], *, secret: bool = False) -> Any:
    """A setting with its default; None as the default makes it optional."""
    return field(
        default=default,
        converter=optional(convert) if default is None else convert,
        repr=SECRET if secret else lambda value: repr(converters.masked(value)),
    )


@frozen
class TopicSettings:
    """The four topics, and what `voltpay topics create` makes of them.

    Attributes:
        partitions: Of each topic.
        replication: Replicas of each partition.
        retention_hours: How long payments and events are kept.
        dead_letter_retention_hours: How long dead letters are kept.
    """

    writer: str = setting(_NAMES.writer, converters.topic)
    read: str = setting(_NAMES.read, converters.topic)
    email: str = setting(_NAMES.email, converters.topic)
    dead_letter: str = setting(_NAMES.dead_letter, converters.topic)
    partitions: int = setting(_POLICY.partitions, converters.whole(1, 100_000))
    replication: int = setting(_POLICY.replication, converters.whole(1, 100))
    retention_hours: int = setting(_POLICY.retention_hours, converters.whole(1, 100_000))
    dead_letter_retention_hours: int = setting(
        _POLICY.dead_letter_retention_hours, converters.whole(1, 100_000)
    )


@frozen
class WireSettings:
    """How events look.

    Attributes:
        account_field: What events call the account.
        event_headers: Fixed headers of every event.
    """

    account_field: str = setting("accountId", converters.one_of("accountId", "custId"))
    event_headers: Mapping[str, str] = setting({}, converters.pairs)


@frozen
class EmailSettings:
    """The e-mail events.

    Attributes:
        statuses: The statuses whose payments get one.
    """

    statuses: frozenset[Status] = setting(frozenset({Status.SUCCESS}), converters.statuses)


@frozen
class LimitSettings:
    """What holds the writer back.

    Attributes:
        retry_seconds: How long an outage is waited out before exit 69.
        breaker: Like refusals by the database in a row that halt the writer.
        batch_bytes: Bytes a batch, at most.
        value_bytes: A longer record value becomes a dead letter.
        publish_seconds: How long the acknowledgement of an event is waited for.
        claims_days: How long claims are kept: `idempotency purge` deletes older ones.
        clock_skew_seconds: How far this machine's clock and the database's may be apart.
        warm_ups: Warm-up records sent to the input topic at start.
    """

    retry_seconds: int = setting(300, converters.whole(0, 1_000_000))
    breaker: int = setting(20, converters.whole(1, 1_000_000))
    batch_bytes: int = setting(16 * MIB, converters.whole(1024, 1024 * MIB))
    value_bytes: int = setting(_POLICY.value_bytes, converters.whole(1, 1024 * MIB))
    publish_seconds: int = setting(30, converters.whole(1, 3600))
    claims_days: int = setting(7, converters.whole(1, 36_500))
    clock_skew_seconds: int = setting(30, converters.whole(1, 86_400))
    warm_ups: int = setting(3, converters.whole(0, 1000))


@frozen
class KafkaSettings:
    """How to reach Kafka.

    Attributes:
        client: The library that speaks to Kafka.
        options: Settings of the Kafka client by their own names, as ``-X`` passes them.
    """

    client: str = setting("kafka-python", converters.one_of("kafka-python", "confluent"))
    protocol: str = setting(
        "PLAINTEXT", converters.one_of("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")
    )
    sasl_mechanism: str = setting(
        "SCRAM-SHA-512", converters.one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
    )
    username: str | None = setting(None, converters.text)
    password: str | None = setting(None, converters.text, secret=True)
    password_file: str | None = setting(None, converters.text)
    cafile: str | None = setting(None, converters.text)
    certfile: str | None = setting(None, converters.text)
    keyfile: str | None = setting(None, converters.text)
    options: Mapping[str, str] = setting({}, converters.pairs)


@frozen
class DatabaseSettings:
    """How to reach PostgreSQL, and what `voltpay db` needs beside the store.

    Attributes:
        password: The writer's, where the store's URL has none; `db bootstrap` sets it.
        migrator: The URL for `voltpay db`; the store where there is none.
        migrator_password: The migrator's, where its URL has none; `db bootstrap` sets it.
        superuser: The URL for `voltpay db bootstrap`; the store where there is none.
        liquibase: The program, by path or by its name on the PATH.
        liquibase_classpath: A folder of jars that is used in the program's place.
    """

    password: str | None = setting(None, converters.text, secret=True)
    password_file: str | None = setting(None, converters.text)
    migrator: str | None = setting(None, converters.database)
    migrator_password: str | None = setting(None, converters.text, secret=True)
    migrator_password_file: str | None = setting(None, converters.text)
    superuser: str | None = setting(None, converters.database)
    lock_seconds: int = setting(10, converters.whole(1, 3600))
    statement_seconds: int = setting(30, converters.whole(1, 3600))
    idle_seconds: int = setting(60, converters.whole(1, 3600))
    sslmode: str = setting("disable", converters.one_of("disable", "require", "verify-full"))
    sslrootcert: str | None = setting(None, converters.text)
    liquibase: str = setting("liquibase", converters.text)
    liquibase_classpath: str | None = setting(None, converters.text)


@frozen
class Settings:
    """Everything that can be set, by flag, environment, ``voltpay.toml`` or default.

    Attributes:
        source: Where payments come from.
        store: Where payments are written.
        events: Where events and dead letters go; the source where that is Kafka.
        node_id: 0-999, or ``auto`` for the first free one.
        group: The Kafka consumer group.
        batch_size: Records a batch, at most.
        commit_unit: Accounts a transaction: ``account`` (one), a number, or ``batch`` (all).
        log_level: What is logged on stderr.
    """

    source: Url | None = setting(None, converters.source)
    store: Url | None = setting(None, converters.store)
    events: Url | None = setting(None, converters.events)
    node_id: int | str = setting("auto", converters.whole_or("auto", 0, 999))
    group: str = setting("voltpay-writer", converters.topic)
    batch_size: int = setting(1000, converters.whole(1, 1_000_000))
    commit_unit: int | str = setting("batch", converters.whole_or("account batch", 1, 1_000_000))
    log_level: str = setting("info", converters.one_of("debug", "info", "warning", "error"))
    topics: TopicSettings = field(factory=TopicSettings)
    wire: WireSettings = field(factory=WireSettings)
    email: EmailSettings = field(factory=EmailSettings)
    limits: LimitSettings = field(factory=LimitSettings)
    kafka: KafkaSettings = field(factory=KafkaSettings)
    database: DatabaseSettings = field(factory=DatabaseSettings)

    @property
    def events_url(self) -> Url | None:
        """Where events go: the source where nothing else is said and that is Kafka."""
        source = self.source
        return self.events or (source if source and source.is_kafka else None)


OPTIONS = deep_options(Settings)
"""Every setting by itself, with its dotted name."""
