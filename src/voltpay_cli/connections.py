"""Turns settings into what the adapters connect to."""

from __future__ import annotations

import ssl
from pathlib import Path

from attrs import evolve

from voltpay_adapters.kafka.payment_topics import PaymentTopics
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_adapters.postgres.tls import tls_context
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.kafka_clients import kafka_client
from voltpay_cli.settings import Settings
from voltpay_cli.settings.converters import Url
from voltpay_cli.settings.loading import read_text
from voltpay_core.codec import Topics
from voltpay_core.errors import Misconfigured

PURPOSES = {
    "source": ("where payments come from", "file:payments.jsonl"),
    "store": ("where they are written", "sqlite:voltpay.db"),
    "events": ("where events go", "file:out"),
}


def required(settings: Settings, *names: str) -> list[Url]:
    """The URLs of these names.

    Raises:
        Misconfigured: Some are missing; one message names them all, and the ways to give them.
    """
    urls = {"source": settings.source, "store": settings.store, "events": settings.events_url}
    if missing := [name for name in names if not urls[name]]:
        parts = ", ".join(f"{name} ({PURPOSES[name][0]})" for name in missing)
        flags = " ".join(f"--{name} {PURPOSES[name][1]}" for name in missing)
        raise Misconfigured(
            f"not set: {parts}; give each by its flag, as VOLTPAY_{missing[0].upper()} or in"
            f" voltpay.toml; without any server: {flags}"
        )
    return [url for name in names if (url := urls[name])]


def kafka_connection(settings: Settings, url: str) -> KafkaCluster:
    """How to reach Kafka, security included.

    Raises:
        Misconfigured: The Kafka client does not know an option, a file cannot be read, or user
            and password are missing.
    """
    given = settings.kafka
    options = {name.replace(".", "_"): value for name, value in given.options.items()}
    protocol = options.pop("security_protocol", given.protocol)
    password = None
    if protocol.startswith("SASL"):
        password = secret(given.password, given.password_file, "kafka.password")
    security = KafkaSecurity(
        protocol=protocol,
        sasl_mechanism=given.sasl_mechanism,
        username=given.username,
        password=password,
        cafile=given.cafile,
        certfile=given.certfile,
        keyfile=given.keyfile,
    )
    return kafka_client(given.client).connect(url, security, options)


def payment_topics(settings: Settings) -> PaymentTopics:
    """The four topics as the settings want them, where they are."""
    source = _on_kafka(settings, settings.source)
    same = settings.events_url == settings.source
    events = source if same else _on_kafka(settings, settings.events_url)
    return PaymentTopics(source, events, _topic_policy(settings))


def topic_names(settings: Settings) -> Topics:
    """The names of the four topics."""
    named = settings.topics
    return Topics(named.writer, named.read, named.email, named.dead_letter)


def secret(value: str | None, file: str | None, name: str) -> str | None:
    """A secret as it is set, or as a file holds it.

    Raises:
        Misconfigured: The file cannot be read, or is not in UTF-8.
    """
    if value or not file:
        return value
    try:
        return read_text(Path(file)).rstrip("\r\n")
    except Misconfigured as error:
        raise Misconfigured(f"{name}_file: {error}") from None


def writer_password(settings: Settings) -> str | None:
    """The password of the writer in the database."""
    given = settings.database
    return secret(given.password, given.password_file, "database.password")


def with_password(url: str, password: str | None) -> DatabaseUrl:
    """The database that a URL names, with this password unless the URL has one."""
    target = DatabaseUrl.parse(url)
    return target if target.password is not None else evolve(target, password=password)


def database_tls(settings: Settings) -> ssl.SSLContext | None:
    """How connections to PostgreSQL are encrypted; None where they are not.

    Raises:
        Misconfigured: The certificates cannot be read.
    """
    return tls_context(settings.database.sslmode, settings.database.sslrootcert)


def _on_kafka(settings: Settings, url: Url | None) -> KafkaCluster | None:
    return kafka_connection(settings, url) if url and url.is_kafka else None


def _topic_policy(settings: Settings) -> TopicPolicy:
    given = settings.topics
    return TopicPolicy(
        topic_names(settings),
        given.partitions,
        given.replication,
        given.retention_hours,
        given.dead_letter_retention_hours,
        settings.limits.value_bytes,
    )
