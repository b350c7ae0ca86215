"""Joins the core and its adapters as the settings say: the only place that names both."""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.events import KafkaEvents
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.local.files import FileEvents, FileSource
from voltpay_adapters.local.lines import FilePayments
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.postgres.connection import TimeOuts
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.settings import Settings
from voltpay_cli.values import kafka_servers
from voltpay_core.consuming import Notice, PaymentConsumer, Retry
from voltpay_core.errors import Misconfigured
from voltpay_core.ids import PaymentIds
from voltpay_core.messages import Event
from voltpay_core.ports import Begin, EventPublisher
from voltpay_core.wire import WARM_UP_HEADER, Topics, Wire
from voltpay_core.writer import Breaker, Writer

log = logging.getLogger("voltpay")

PLACES = {
    "source": "where payments come from",
    "store": "where they are written",
    "events": "where events go",
}


@contextmanager
def payment_consumer(
    settings: Settings, retry: Retry, notify: Callable[[Notice], None], *, skip_expired: bool
) -> Iterator[PaymentConsumer]:
    """A consumer with everything it needs, closed in the end.

    Raises:
        Misconfigured: A setting is missing or cannot work.
        Unavailable: The broker cannot be reached.
    """
    source_url, store_url, events_url = required(settings, "source", "store", "events")
    wire = wire_form(settings)
    with ExitStack() as opened:
        begin = _open_database(settings, store_url, opened)
        source, partitions = _open_source(
            settings, source_url, begin, opened, retry=retry, skip_expired=skip_expired
        )
        yield PaymentConsumer(
            source=source,
            begin=begin,
            publisher=_open_events(settings, events_url, partitions, opened),
            wire=wire,
            writer=Writer(
                begin, wire, PaymentIds(_milliseconds), _now, Breaker(settings.limits.breaker)
            ),
            retry=retry,
            batch_size=settings.batch_size,
            commit_unit=commit_unit(settings),
            notify=notify,
        )


@contextmanager
def database(settings: Settings) -> Iterator[Begin]:
    """The store alone, closed in the end."""
    (url,) = required(settings, "store")
    with ExitStack() as opened:
        yield _open_database(settings, url, opened)


@contextmanager
def input_publisher(settings: Settings) -> Iterator[EventPublisher]:
    """A publisher to the input topic or file, closed in the end."""
    (url,) = required(settings, "source")
    with ExitStack() as opened:
        if not is_kafka(url):
            payments = FilePayments(url.removeprefix("file:"))
            opened.callback(payments.close)
            yield payments
        else:
            yield _open_kafka_events(settings, url, None, opened)


def warm_up(settings: Settings, retry: Retry) -> None:
    """Send a few warm-up records to the input topic, where that is Kafka's."""
    count = settings.limits.warm_ups
    if count and settings.source and is_kafka(settings.source):
        warmth = Event(settings.topics.writer, None, b"{}", ((WARM_UP_HEADER, b"1"),))
        with input_publisher(settings) as publisher:
            retry(lambda: publisher.publish([warmth] * count).wait())


def start_over(settings: Settings) -> None:
    """Let a file be read from its first byte again; a topic's offsets are Kafka's own matter."""
    (url,) = required(settings, "source")
    with database(settings) as begin:
        source = FileSource(url.removeprefix("file:"), begin)
        with closing(source), begin() as work:
            for partition in source.poll(0).gained:
                work.fence.move(partition, 0)


def wire_form(settings: Settings) -> Wire:
    """How records and events look."""
    topics, headers = settings.topics, settings.wire.event_headers
    return Wire(
        topics=Topics(topics.writer, topics.read, topics.email, topics.dead_letter),
        account_field=settings.wire.account_field,
        email_statuses=settings.email.statuses,
        event_headers=tuple((name, text.encode()) for name, text in headers.items()),
        max_value_bytes=settings.limits.value_bytes,
    )


def commit_unit(settings: Settings) -> int | None:
    """Accounts a transaction; None for the entire batch."""
    unit = settings.commit_unit
    return unit if isinstance(unit, int) else {"account": 1, "batch": None}[unit]


def required(settings: Settings, *names: str) -> list[str]:
    """The URLs of these names.

    Raises:
        Misconfigured: Some are missing; one message names them all, and the ways to give them.
    """
    found = {"source": settings.source, "store": settings.store, "events": events_url(settings)}
    missing = [name for name in names if not found[name]]
    if missing:
        parts = ", ".join(f"{name} ({PLACES[name]})" for name in missing)
        flags = " ".join(f"--{name} {_EXAMPLES[name]}" for name in missing)
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
    return kafka_servers(url) is not None


def kafka_connection(settings: Settings, url: str) -> KafkaConnection:
    """How to reach Kafka, security included.

    Raises:
        Misconfigured: The Kafka client does not know an option, or a file cannot be read.
    """
    kafka = settings.kafka
    options: dict[str, Any] = {"security_protocol": kafka.protocol}
    if kafka.protocol.startswith("SASL"):
        password = secret(kafka.password, kafka.password_file, "kafka.password")
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.username,
            "sasl_plain_password": password,
        }
    files = {
        "ssl_cafile": kafka.cafile,
        "ssl_certfile": kafka.certfile,
        "ssl_keyfile": kafka.keyfile,
    }
    options |= {name: path for name, path in files.items() if path}
    return KafkaConnection.parse(url, options | _underscored(kafka.options))


def secret(value: str | None, file: str | None, name: str) -> str | None:
    """A secret as it is set, or as it stands in a file.

    Raises:
        Misconfigured: The file cannot be read.
    """
    if value or not file:
        return value
    try:
        return Path(file).read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise Misconfigured(f"{name}_file: cannot read {file}: {error}") from None


def database_target(settings: Settings, url: str) -> DatabaseUrl:
    """The database of the store, with the writer's password."""
    target = DatabaseUrl.parse(url)
    given = settings.database
    password = target.password or secret(given.password, given.password_file, "database.password")
    return DatabaseUrl(target.host, target.port, target.database, target.user, password)


def _open_database(settings: Settings, url: str, opened: ExitStack) -> Begin:
    node_id = settings.node_id if isinstance(settings.node_id, int) else None
    given = settings.database
    store: SqliteDatabase | PostgresDatabase
    if url.startswith("sqlite:"):
        store = SqliteDatabase(url.removeprefix("sqlite:"), node_id, float(given.lock_seconds))
    else:
        store = PostgresDatabase(
            database_target(settings, url),
            node_id,
            TimeOuts(given.lock_seconds, given.statement_seconds, given.idle_seconds),
            _tls(settings),
            clock_skew=settings.limits.clock_skew_seconds,
        )
    opened.callback(store.close)
    return store.begin


def _open_source(
    settings: Settings,
    url: str,
    begin: Begin,
    opened: ExitStack,
    *,
    retry: Retry,
    skip_expired: bool,
) -> tuple[FileSource | KafkaSource, int | None]:
    """The source, and how many partitions it has where that matters."""
    if not is_kafka(url):
        file = FileSource(url.removeprefix("file:"), begin, log.info)
        opened.callback(file.close)
        return file, None
    source = KafkaSource(
        kafka_connection(settings, url),
        settings.topics.writer,
        settings.group,
        batch_bytes=settings.limits.batch_bytes,
        skip_expired=skip_expired,
        notify=log.warning,
    )
    opened.callback(source.close)
    counted: list[int] = []
    retry(lambda: counted.append(source.partition_count))
    return source, counted[0]


def _open_events(
    settings: Settings, url: str, partitions: int | None, opened: ExitStack
) -> FileEvents | KafkaEvents:
    if is_kafka(url):
        return _open_kafka_events(settings, url, partitions, opened)
    files = FileEvents(Path(url.removeprefix("file:")))
    opened.callback(files.close)
    return files


def _open_kafka_events(
    settings: Settings, url: str, partitions: int | None, opened: ExitStack
) -> KafkaEvents:
    events = KafkaEvents(
        kafka_connection(settings, url), partitions, settings.limits.publish_seconds
    )
    opened.callback(events.close)
    return events


def _tls(settings: Settings) -> ssl.SSLContext | None:
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


def _now() -> datetime:
    return datetime.now(UTC)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000


_EXAMPLES = {
    "source": "file:payments.jsonl",
    "store": "sqlite:voltpay.db",
    "events": "file:out",
}
