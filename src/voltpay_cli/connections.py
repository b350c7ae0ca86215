"""How Kafka and PostgreSQL are reached, as the settings say."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve

from voltpay_adapters.kafka import urls as kafka_urls
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.settings import Settings
from voltpay_cli.settings.text_files import read_text
from voltpay_core.errors import Misconfigured

PLACES = {
    "source": "where payments come from",
    "store": "where they are written",
    "events": "where events go",
}
EXAMPLES = {
    "source": "file:payments.jsonl",
    "store": "sqlite:voltpay.db",
    "events": "file:out",
}


def required(settings: Settings, *names: str) -> list[str]:
    """The URLs of these names.

    Raises:
        Misconfigured: Some are missing; one message names them all, and the ways to give them.
    """
    found = {"source": settings.source, "store": settings.store, "events": events_url(settings)}
    missing = [name for name in names if not found[name]]
    if missing:
        parts = ", ".join(f"{name} ({PLACES[name]})" for name in missing)
        flags = " ".join(f"--{name} {EXAMPLES[name]}" for name in missing)
        raise Misconfigured(
            f"not set: {parts}; give each by its flag, as VOLTPAY_{missing[0].upper()} or in"
            f" voltpay.toml; without any server: {flags}"
        )
    return [found[name] or "" for name in names]


def events_url(settings: Settings) -> str | None:
    """Where events go: the source where nothing else is said and that is Kafka."""
    source = settings.source
    return settings.events or (source if source and is_kafka(source) else None)


def is_kafka(url: str) -> bool:
    """Whether a URL names Kafka servers."""
    return url.startswith(kafka_urls.SCHEME)


def kafka_connection(settings: Settings, url: str) -> KafkaConnection:
    """How to reach Kafka, security included.

    Raises:
        Misconfigured: The Kafka client does not know an option, a file cannot be read, or user
            and password are missing.
    """
    kafka = settings.kafka
    files = {
        "ssl_cafile": kafka.cafile,
        "ssl_certfile": kafka.certfile,
        "ssl_keyfile": kafka.keyfile,
    }
    options: dict[str, Any] = {
        "security_protocol": kafka.protocol,
        **{name: path for name, path in files.items() if path},
        **_underscored(kafka.options),
    }
    if options["security_protocol"].startswith("SASL"):
        options = {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": secret(kafka.password, kafka.password_file, "kafka.password"),
            **options,
        }
    _check_credentials(options)
    return KafkaConnection.parse(url, options)


def _check_credentials(options: Mapping[str, Any]) -> None:
    protocol, mechanism = options["security_protocol"], options.get("sasl_mechanism", "")
    if not (protocol.startswith("SASL") and mechanism.startswith(("PLAIN", "SCRAM"))):
        return
    for name in ("username", "password"):
        if not options.get(f"sasl_plain_{name}"):
            raise Misconfigured(
                f"not set: kafka.{name}, which {protocol} asks for; give it as"
                f" VOLTPAY_KAFKA_{name.upper()} or in voltpay.toml"
            )


def secret(value: str | None, file: str | None, name: str) -> str | None:
    """A secret as it is set, or as it stands in a file.

    Raises:
        Misconfigured: The file cannot be read, or is not in UTF-8.
    """
    if value or not file:
        return value
    try:
        return read_text(Path(file)).rstrip("\r\n")
    except Misconfigured as error:
        raise Misconfigured(f"{name}_file: {error}") from None


def database_target(settings: Settings, url: str) -> DatabaseUrl:
    """The database of the store, with the writer's password."""
    given = settings.database
    return with_password(url, secret(given.password, given.password_file, "database.password"))


def with_password(url: str, password: str | None) -> DatabaseUrl:
    """The database that a URL names, with this password unless the URL has one."""
    target = DatabaseUrl.parse(url)
    return target if target.password is not None else evolve(target, password=password)


def database_tls(settings: Settings) -> ssl.SSLContext | None:
    """How connections to PostgreSQL are encrypted; None where they are not.

    Raises:
        Misconfigured: The certificates cannot be read.
    """
    given = settings.database
    if given.sslmode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=given.sslrootcert)
    except OSError as error:
        raise Misconfigured(f"database.sslrootcert: {given.sslrootcert}: {error}") from None
    if given.sslmode == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _underscored(options: Mapping[str, str]) -> dict[str, str]:
    return {name.replace(".", "_"): value for name, value in options.items()}
