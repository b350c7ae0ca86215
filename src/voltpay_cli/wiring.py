"""Makes the adapters that the settings name, and assembles them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, nullcontext
from functools import partial
from itertools import chain
from pathlib import Path
from threading import Event

from voltpay_adapters.assembly import payment_writer
from voltpay_adapters.local import files as local
from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.postgres.connection import Timeouts
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.retrying import backoff
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_adapters.testing.sending import send
from voltpay_cli.connections import (
    database_tls,
    kafka_connection,
    payment_topics,
    required,
    topic_names,
    with_password,
    writer_password,
)
from voltpay_cli.kafka_clients import TopicSource, kafka_client
from voltpay_cli.remedies import with_remedy
from voltpay_cli.settings import Settings
from voltpay_cli.settings.converters import Url
from voltpay_core.codec import Codec
from voltpay_core.consuming import Notice, PaymentConsumer
from voltpay_core.errors import Misconfigured
from voltpay_core.ids import NODE_IDS
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, MessageSource
from voltpay_core.records import Record
from voltpay_core.replaying import replay_group

log = logging.getLogger("voltpay")


@contextmanager
def payment_consumer(
    settings: Settings,
    stop: Event,
    notify: Callable[[Notice], None],
    *,
    skip_expired: bool = False,
    warm: bool = False,
) -> Iterator[PaymentConsumer]:
    """A consumer with everything it needs, closed in the end.

    Args:
        stop: Ends the waits between attempts when it is set.
        warm: Send warm-up records to the input topic first.

    Raises:
        Misconfigured: A setting is missing or cannot work, or the node id is taken.
        Unavailable: The broker or the database cannot be reached.
    """
    source_url, store_url, events_url = required(settings, "source", "store", "events")
    retry = backoff(settings.limits.retry_seconds, stop)
    store = _store(settings, store_url, _node_ids(settings))
    source = _source(settings, source_url, store.begin, skip_expired=skip_expired)
    events = _publisher(settings, events_url, source)
    with payment_writer(
        source=source,
        store=store,
        events=events,
        retry=retry,
        codec=codec_of(settings),
        batch_size=settings.batch_size,
        commit_unit=commit_unit(settings),
        breaker=settings.limits.breaker,
        notify=notify,
    ) as consumer:
        if source_url.is_kafka or events_url.is_kafka:
            for risk in retry(payment_topics(settings).risks):
                log.warning("%s", with_remedy(risk))
        if warm and settings.limits.warm_ups and source_url.is_kafka:
            retry(partial(_warm_up, settings, events if events_url == source_url else None))
        yield consumer


@contextmanager
def database(settings: Settings) -> Iterator[BeginUnitOfWork]:
    """The store alone, without a node id that a writer might want, closed in the end."""
    (url,) = required(settings, "store")
    with closing(_store(settings, url, NODE_IDS[::-1])) as store:
        store.connect()
        yield store.begin


@contextmanager
def input_publisher(settings: Settings) -> Iterator[EventPublisher]:
    """A publisher to the input topic or file, closed in the end."""
    (url,) = required(settings, "source")
    with closing(
        _kafka_publisher(settings, url) if url.is_kafka else PaymentFilePublisher(url.path)
    ) as publisher:
        yield publisher


def produce(
    settings: Settings,
    stop: Event,
    count: int,
    seed: int,
    *,
    accounts: int,
    duplicates: float,
    poison: float,
    warm_ups: int = 0,
    rate: int | None = None,
) -> int:
    """Send sample payments to the input topic or file, and return the number sent.

    Args:
        stop: Ends it between chunks when it is set.
        accounts: As `Mix` has it, and so are the shares of duplicates and poison.
        rate: Records a second, at most.
    """
    codec = codec_of(settings)
    records = chain(
        codec.warm_ups(warm_ups), samples(codec, count, seed, Mix(accounts, duplicates, poison))
    )
    with input_publisher(settings) as publisher:
        return send(publisher, records, stop, rate=rate)


def start_over(settings: Settings) -> None:
    """Let a file be read from its first byte again; a topic's offsets are Kafka's own matter."""
    (url,) = required(settings, "source")
    with (
        database(settings) as begin,
        closing(FileSource(url.path, begin)) as source,
    ):
        source.start_over()


def dead_letters(settings: Settings, replays_of: str | None = None) -> Iterator[Record]:
    """The dead letters that are there now.

    Args:
        replays_of: Leave out what the replays of this code have acknowledged.
    """
    (url,) = required(settings, "events")
    topic = settings.topics.dead_letter
    if not url.is_kafka:
        return local.browse(Path(url.path, f"{topic}.jsonl"))
    group = replay_group(settings.group, replays_of) if replays_of else None
    return kafka_client(settings.kafka.client).browse(kafka_connection(settings, url), topic, group)


@contextmanager
def dead_letter_source(settings: Settings, code: str) -> Iterator[MessageSource]:
    """The dead-letter topic, by the group that replays this code, closed in the end."""
    (url,) = required(settings, "events")
    if not url.is_kafka:
        raise Misconfigured(
            "dead letters in files are replayed by consuming a copy of them: copy"
            f" {settings.topics.dead_letter}.jsonl, fix what has to be fixed, and name the copy as"
            " the --source of voltpay consume"
        )
    source = kafka_client(settings.kafka.client).source(
        kafka_connection(settings, url),
        settings.topics.dead_letter,
        replay_group(settings.group, code),
        bounded=True,  # what fails again while it is replayed is for the next replay
        skip_expired=True,
    )
    with closing(source):
        yield source


def codec_of(settings: Settings) -> Codec:
    """How records and events look."""
    headers = settings.wire.event_headers
    return Codec(
        topics=topic_names(settings),
        account_field=settings.wire.account_field,
        email_statuses=settings.email.statuses,
        event_headers=tuple((name, text.encode()) for name, text in headers.items()),
        max_value_bytes=settings.limits.value_bytes,
    )


def commit_unit(settings: Settings) -> int | None:
    """Accounts a transaction; None for the entire batch."""
    unit = settings.commit_unit
    return unit if isinstance(unit, int) else {"account": 1, "batch": None}[unit]


def _node_ids(settings: Settings) -> Sequence[int]:
    node_id = settings.node_id
    return (node_id,) if isinstance(node_id, int) else NODE_IDS


def _store(
    settings: Settings, url: Url, node_ids: Sequence[int]
) -> SqliteDatabase | PostgresDatabase:
    given = settings.database
    if url.is_sqlite:
        return SqliteDatabase(url.path, node_ids, float(given.lock_seconds))
    return PostgresDatabase(
        with_password(url, writer_password(settings)),
        node_ids,
        Timeouts(given.lock_seconds, given.statement_seconds, given.idle_seconds),
        database_tls(settings),
        clock_skew=settings.limits.clock_skew_seconds,
        notify=log.warning,
    )


def _source(
    settings: Settings, url: Url, begin: BeginUnitOfWork, *, skip_expired: bool
) -> FileSource | TopicSource:
    if not url.is_kafka:
        return FileSource(url.path, begin, log.info, longest=settings.limits.batch_bytes)
    return kafka_client(settings.kafka.client).source(
        kafka_connection(settings, url),
        settings.topics.writer,
        settings.group,
        batch_bytes=settings.limits.batch_bytes,
        skip_expired=skip_expired,
        notify=log.warning,
    )


def _publisher(settings: Settings, url: Url, source: FileSource | TopicSource) -> EventPublisher:
    if not url.is_kafka:
        return FilePublisher(Path(url.path))
    counted = None if isinstance(source, FileSource) else source.count_partitions
    return _kafka_publisher(settings, url, counted)


def _kafka_publisher(
    settings: Settings, url: str, count_partitions: Callable[[], int] | None = None
) -> EventPublisher:
    connection = kafka_connection(settings, url)
    return kafka_client(settings.kafka.client).publisher(
        connection, count_partitions, settings.limits.publish_seconds
    )


def _warm_up(settings: Settings, publisher: EventPublisher | None) -> None:
    """Send a few records that warm the path, to the input topic and never elsewhere."""
    records = codec_of(settings).warm_ups(settings.limits.warm_ups)
    with nullcontext(publisher) if publisher else input_publisher(settings) as to:
        to.publish(records).wait()
