"""Joins the core and its adapters as the settings say: the only place that names both."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.postgres.connection import Timeouts
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_cli import topics
from voltpay_cli.connections import (
    database_target,
    database_tls,
    is_kafka,
    kafka_connection,
    required,
)
from voltpay_cli.settings import Settings
from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec, Topics
from voltpay_core.consuming import Notice, PaymentConsumer
from voltpay_core.ids import NODE_IDS, PaymentIdGenerator
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, Retry

log = logging.getLogger("voltpay")


@contextmanager
def payment_consumer(
    settings: Settings,
    retry: Retry,
    notify: Callable[[Notice], None],
    *,
    skip_expired: bool = False,
    warm: bool = False,
) -> Iterator[PaymentConsumer]:
    """A consumer with everything it needs, closed in the end.

    Args:
        warm: Send warm-up records to the input topic first.

    Raises:
        Misconfigured: A setting is missing or cannot work, or the node id is taken.
        Unavailable: The broker or the database cannot be reached.
    """
    source_url, store_url, events_url = required(settings, "source", "store", "events")
    codec = codec_of(settings)
    with ExitStack() as opened:
        node_id = settings.node_id
        node_ids = (node_id,) if isinstance(node_id, int) else NODE_IDS
        begin = retry(partial(_open_database, settings, store_url, opened, node_ids))
        if is_kafka(source_url) or is_kafka(events_url):
            for warning in retry(partial(topics.losses, settings)):
                log.warning("%s", warning)
        source, partitions = _open_source(
            settings, source_url, begin, opened, retry=retry, skip_expired=skip_expired
        )
        publisher = _open_events(settings, events_url, partitions, opened)
        if warm and settings.limits.warm_ups and is_kafka(source_url):
            same = publisher if source_url == events_url else None
            retry(partial(_warm_up, settings, same))
        yield PaymentConsumer(
            source=source,
            begin=begin,
            publisher=publisher,
            codec=codec,
            ids=PaymentIdGenerator(_milliseconds),
            now=_now,
            breaker=Breaker(settings.limits.breaker),
            retry=retry,
            batch_size=settings.batch_size,
            commit_unit=commit_unit(settings),
            notify=notify,
        )


@contextmanager
def database(settings: Settings) -> Iterator[BeginUnitOfWork]:
    """The store alone, without a node id that a writer might want, closed in the end."""
    (url,) = required(settings, "store")
    with ExitStack() as opened:
        yield _open_database(settings, url, opened, NODE_IDS[::-1])


@contextmanager
def input_publisher(settings: Settings) -> Iterator[EventPublisher]:
    """A publisher to the input topic or file, closed in the end."""
    (url,) = required(settings, "source")
    with ExitStack() as opened:
        if not is_kafka(url):
            payments = PaymentFilePublisher(url.removeprefix("file:"))
            opened.callback(payments.close)
            yield payments
        else:
            yield _open_kafka_events(settings, url, None, opened)


def start_over(settings: Settings) -> None:
    """Let a file be read from its first byte again; a topic's offsets are Kafka's own matter."""
    (url,) = required(settings, "source")
    with (
        database(settings) as begin,
        closing(FileSource(url.removeprefix("file:"), begin)) as source,
    ):
        source.start_over()


def codec_of(settings: Settings) -> Codec:
    """How records and events look."""
    named, headers = settings.topics, settings.wire.event_headers
    return Codec(
        topics=Topics(named.writer, named.read, named.email, named.dead_letter),
        account_field=settings.wire.account_field,
        email_statuses=settings.email.statuses,
        event_headers=tuple((name, text.encode()) for name, text in headers.items()),
        max_value_bytes=settings.limits.value_bytes,
    )


def commit_unit(settings: Settings) -> int | None:
    """Accounts a transaction; None for the entire batch."""
    unit = settings.commit_unit
    return unit if isinstance(unit, int) else {"account": 1, "batch": None}[unit]


def _open_database(
    settings: Settings, url: str, opened: ExitStack, node_ids: Sequence[int]
) -> BeginUnitOfWork:
    given = settings.database
    store: SqliteDatabase | PostgresDatabase
    if url.startswith("sqlite:"):
        store = SqliteDatabase(url.removeprefix("sqlite:"), node_ids, float(given.lock_seconds))
    else:
        store = PostgresDatabase(
            database_target(settings, url),
            node_ids,
            Timeouts(given.lock_seconds, given.statement_seconds, given.idle_seconds),
            database_tls(settings),
            clock_skew=settings.limits.clock_skew_seconds,
            notify=log.warning,
        )
    opened.callback(store.close)
    store.connect()  # who may not write is to learn it before joining a consumer group
    return store.begin


def _open_source(
    settings: Settings,
    url: str,
    begin: BeginUnitOfWork,
    opened: ExitStack,
    *,
    retry: Retry,
    skip_expired: bool,
) -> tuple[FileSource | KafkaSource, int | None]:
    """The source, and how many partitions it has where that matters."""
    if not is_kafka(url):
        file = FileSource(
            url.removeprefix("file:"), begin, log.info, longest=settings.limits.batch_bytes
        )
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
    return source, retry(source.count_partitions)


def _warm_up(settings: Settings, publisher: EventPublisher | None) -> None:
    """Send a few records that warm the path, to the input topic and never elsewhere."""
    records = codec_of(settings).warm_ups(settings.limits.warm_ups)
    with nullcontext(publisher) if publisher else input_publisher(settings) as to:
        to.publish(records).wait()


def _open_events(
    settings: Settings, url: str, partitions: int | None, opened: ExitStack
) -> FilePublisher | KafkaPublisher:
    if is_kafka(url):
        return _open_kafka_events(settings, url, partitions, opened)
    files = FilePublisher(Path(url.removeprefix("file:")))
    opened.callback(files.close)
    return files


def _open_kafka_events(
    settings: Settings, url: str, partitions: int | None, opened: ExitStack
) -> KafkaPublisher:
    events = KafkaPublisher(
        kafka_connection(settings, url), partitions, settings.limits.publish_seconds
    )
    opened.callback(events.close)
    return events


def _now() -> datetime:
    return datetime.now(UTC)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
