"""Makes the adapters that the settings name, and assembles them."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING

from attrs import define, evolve, field

from voltpay_adapters.assembly import payment_writer
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.kafka.topics import KafkaCluster
from voltpay_adapters.local.files import (
    FileDeadLetters,
    FilePublisher,
    PaymentFilePublisher,
    new_payment_file,
)
from voltpay_adapters.local.lines import envelope
from voltpay_adapters.local.source import FileSource, browse
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.local.sqlite_reader import SqlitePaymentReader
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.retrying import backoff
from voltpay_adapters.text_files import read_secret
from voltpay_adapters.urls import Url
from voltpay_cli.auditing import Invocation
from voltpay_cli.console.lines import event
from voltpay_cli.kafka_clients import KafkaClient, TopicSource, kafka_client
from voltpay_cli.remedies import with_remedy
from voltpay_cli.settings import Settings
from voltpay_core.codec import Codec, Topics
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.dead_letters import DeadLetters
from voltpay_core.ids import NODE_IDS
from voltpay_core.notices import Observer, ignore
from voltpay_core.pacing import Pace, PacedSource
from voltpay_core.ports import (
    BeginUnitOfWork,
    EventPublisher,
    MessageSource,
    PaymentDatabase,
    PaymentReader,
    Retry,
)
from voltpay_core.records import Record
from voltpay_core.relaying import publish_and_wait

if TYPE_CHECKING:
    from ssl import SSLContext

    from voltpay_adapters.kafka.payment_topics import PaymentTopics
    from voltpay_adapters.postgres.database import PostgresDatabase

log = logging.getLogger("voltpay")


@define(kw_only=True)
class Wiring:
    """Makes what the settings name; each connection to Kafka is made once, when it is needed.

    Attributes:
        invocation: The command that is run, for the log and for sessions of the database.
        now: The current time, with its time zone.
    """

    settings: Settings
    invocation: Invocation = field(factory=Invocation)
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    @cached_property
    def codec(self) -> Codec:
        """How records and events look."""
        settings = self.settings
        return Codec(
            topics=self._topic_names,
            account_field=settings.wire.account_field,
            email_statuses=settings.email.statuses,
            event_headers=tuple(
                (name, text.encode()) for name, text in settings.wire.event_headers.items()
            ),
            max_value_bytes=settings.limits.value_bytes,
        )

    @cached_property
    def kafka_client(self) -> KafkaClient:
        """The adapters of the Kafka client that the settings choose.

        Raises:
            Misconfigured: It is not installed (``kafka-client-missing``).
        """
        return kafka_client(self.settings.kafka.client)

    @cached_property
    def source_kafka(self) -> KafkaCluster | None:
        """The cluster of the input topic; None if payments do not come from Kafka."""
        return self._kafka(self.settings.source)

    @cached_property
    def events_kafka(self) -> KafkaCluster | None:
        """The cluster that events go to, which may be the same; None if it is not Kafka."""
        same = self.settings.events_url == self.settings.source
        return self.source_kafka if same else self._kafka(self.settings.events_url)

    def topics(self) -> PaymentTopics:
        """The four topics as the settings want them, where they are."""
        from voltpay_adapters.kafka.payment_topics import PaymentTopics

        topics = self.settings.topics
        policy = TopicPolicy(
            names=self._topic_names,
            partitions=topics.partitions,
            replication=topics.replication,
            retention_hours=topics.retention_hours,
            dead_letter_retention_hours=topics.dead_letter_retention_hours,
            value_bytes=self.settings.limits.value_bytes,
        )
        return PaymentTopics(self.source_kafka, self.events_kafka, policy)

    @contextmanager
    def payment_consumer(
        self,
        stop: Event,
        notify: Observer,
        *,
        skip_expired: bool = False,
        warm: bool = False,
        pace: Pace | None = None,
    ) -> Iterator[PaymentConsumer]:
        """A consumer with everything it needs, closed at the end.

        Args:
            stop: Ends the waits between attempts when it is set.
            warm: Send warm-up records to the input topic first.
            pace: Bounds the records in a second; None for no bound.

        Raises:
            Misconfigured: A setting is missing or cannot work, or the node id is taken.
            Unavailable: The broker or the database cannot be reached.
        """
        source_url, store_url, events_url = self.settings.required("source", "store", "events")
        retry = self.retry(stop, notify)
        node_id = self.settings.node_id
        store = self._store(store_url, (node_id,) if isinstance(node_id, int) else NODE_IDS)
        source = self._source(source_url, store.begin, skip_expired=skip_expired)
        events = self._publisher(events_url, source)
        paced = PacedSource(source, pace) if pace else source
        with self.assemble(paced, store, events, retry, notify) as consumer:
            if source_url.is_kafka or events_url.is_kafka:
                for risk in retry(self.topics().risks):
                    log.warning("%s", with_remedy(risk), extra=event("risk", code=risk.code))
            if warm and self.settings.limits.warm_ups and source_url.is_kafka:
                retry(partial(self._warm_up, events if events_url == source_url else None))
            yield consumer

    def retry(self, stop: Event, notify: Observer = ignore) -> Retry:
        """The retry policy for outages; `stop` ends its waits."""
        return backoff(self.settings.limits.retry_seconds, stop, notify=notify)

    def assemble(
        self,
        source: MessageSource,
        store: PaymentDatabase,
        events: EventPublisher,
        retry: Retry,
        notify: Observer,
    ) -> AbstractContextManager[PaymentConsumer]:
        """A consumer of these adapters, which are closed at the end."""
        unit = self.settings.commit_unit
        return payment_writer(
            source=source,
            store=store,
            events=events,
            retry=retry,
            codec=self.codec,
            batch_size=self.settings.batch_size,
            commit_unit=unit if isinstance(unit, int) else {"account": 1, "batch": None}[unit],
            overlap=self.kafka_client.overlap if self.events_kafka else 0,
            breaker=self.settings.limits.breaker,
            notify=notify,
            now=self.now,
        )

    @contextmanager
    def database(self) -> Iterator[BeginUnitOfWork]:
        """The store alone, without a node id that a writer might want, closed at the end."""
        (url,) = self.settings.required("store")
        with closing(self._store(url, NODE_IDS[::-1])) as store:
            store.connect()
            yield store.begin

    @contextmanager
    def payment_reader(self) -> Iterator[PaymentReader]:
        """A reader of the written payments, closed at the end."""
        (url,) = self.settings.required("store")
        if url.is_sqlite:
            yield SqlitePaymentReader(url.path)
            return
        from voltpay_adapters.postgres.reader import PostgresPaymentReader

        with closing(PostgresPaymentReader(*self.postgres(url))) as reader:
            yield reader

    @contextmanager
    def event_publisher(self) -> Iterator[EventPublisher]:
        """A publisher of events whose keys decide their partitions, closed at the end."""
        (url,) = self.settings.required("events")
        with closing(self._publisher(url)) as publisher:
            yield publisher

    def waiting_records(self, stop: Callable[[], bool]) -> Iterator[Record]:
        """The records that a consumer would read, up to the present end; nothing is acknowledged.

        A file is read from its beginning, since only the store knows another position.

        Args:
            stop: Called while none come; true ends them.
        """
        (url,) = self.settings.required("source")
        if (kafka := self.source_kafka) is None:
            return browse(url.path, stop, longest=self.settings.limits.batch_bytes)
        return self.kafka_client.browse(kafka, self.settings.topics.writer, self.settings.group)

    @contextmanager
    def input_publisher(self) -> Iterator[EventPublisher]:
        """A publisher to the input topic or file, closed at the end."""
        (url,) = self.settings.required("source")
        with closing(
            self.kafka_client.publisher(kafka, ack_timeout=self.settings.limits.publish_seconds)
            if (kafka := self.source_kafka)
            else PaymentFilePublisher(url.path)
        ) as publisher:
            yield publisher

    def start_over(self) -> None:
        """Let a file be read from its first byte again."""
        (url,) = self.settings.required("source")
        with self.database() as begin, closing(FileSource(url.path, begin)) as source:
            source.start_over()

    def dead_letters(self) -> DeadLetters:
        """The dead letters, on Kafka or in a file."""
        (url,) = self.settings.required("events")
        topic = self.settings.topics.dead_letter
        if kafka := self.events_kafka:
            from voltpay_adapters.kafka.browsing import KafkaDeadLetters

            client = self.kafka_client
            return KafkaDeadLetters(kafka, topic, self.settings.group, client.browse, client.source)
        return FileDeadLetters(Path(url.path, f"{topic}.jsonl"))

    def database_url(self, url: str) -> DatabaseUrl:
        """A database whose sessions carry the name of the command."""
        return DatabaseUrl.parse(url).named(self.invocation.application)

    def postgres(self, url: Url) -> tuple[DatabaseUrl, SSLContext | None]:
        """PostgreSQL for the writer's role, and how the connection is encrypted."""
        database = self.settings.database
        return self.database_url(url).with_password(database.writer_secret()), database.tls()

    def new_payment_file(self, path: str) -> AbstractContextManager[EventPublisher]:
        """A publisher to a new file of payments, which a failure removes; ``-`` is stdout."""
        return new_payment_file(path)

    def envelope(self, record: Record) -> dict[str, object]:
        """A whole record as JSON can hold it: a line of an event file."""
        found: dict[str, object] = json.loads(envelope(record))
        return found

    def audit(self, *names: str) -> None:
        """Log who runs the command, with these URLs (without passwords) or the group."""
        given = {
            "source": self.settings.source,
            "store": self.settings.store,
            "events": self.settings.events_url,
            "group": self.settings.group,
            "migrator": self.settings.database.migrator or self.settings.store,
            "superuser": self.settings.database.superuser or self.settings.store,
        }
        self.invocation.audit(**{name: given[name] for name in names})

    @property
    def _topic_names(self) -> Topics:
        given = self.settings.topics
        return Topics(given.writer, given.read, given.email, given.dead_letter)

    def _kafka(self, url: Url | None) -> KafkaCluster | None:
        """How a cluster is reached, security included; None where the URL does not name one."""
        if not (url and url.is_kafka):
            return None
        kafka = self.settings.kafka
        options = {name.replace(".", "_"): value for name, value in kafka.options.items()}
        security = KafkaSecurity(
            options.pop("security_protocol", kafka.protocol),
            kafka.sasl_mechanism,
            kafka.username,
            cafile=kafka.cafile,
            certfile=kafka.certfile,
            keyfile=kafka.keyfile,
        )
        if security.protocol.startswith("SASL"):
            password = read_secret(kafka.password, kafka.password_file, "kafka.password")
            security = evolve(security, password=password)
        return self.kafka_client.connect(url, security, options)

    def _store(self, url: Url, node_ids: Sequence[int]) -> SqliteDatabase | PostgresDatabase:
        database = self.settings.database
        if url.is_sqlite:
            return SqliteDatabase(url.path, node_ids, float(database.lock_seconds))
        from voltpay_adapters.postgres.database import PostgresDatabase

        target, tls = self.postgres(url)
        return PostgresDatabase(
            target,
            node_ids,
            Timeouts(database.lock_seconds, database.statement_seconds, database.idle_seconds),
            tls,
            now=self.now,
            clock_skew=self.settings.limits.clock_skew_seconds,
            notify=partial(log.warning, extra=event("store")),
        )

    def _source(
        self, url: Url, begin: BeginUnitOfWork, *, skip_expired: bool
    ) -> FileSource | TopicSource:
        longest = self.settings.limits.batch_bytes
        if (kafka := self.source_kafka) is None:
            tell = partial(log.info, extra=event("source"))
            return FileSource(url.path, begin, tell, longest=longest)
        return self.kafka_client.source(
            kafka,
            self.settings.topics.writer,
            self.settings.group,
            batch_bytes=longest,
            skip_expired=skip_expired,
            notify=partial(log.warning, extra=event("source")),
        )

    def _publisher(
        self, url: Url, source: FileSource | TopicSource | None = None
    ) -> EventPublisher:
        if (kafka := self.events_kafka) is None:
            return FilePublisher(Path(url.path))
        counted = (
            None if source is None or isinstance(source, FileSource) else source.count_partitions
        )
        return self.kafka_client.publisher(kafka, counted, self.settings.limits.publish_seconds)

    def _warm_up(self, publisher: EventPublisher | None) -> None:
        """Send a few records that warm the path, to the input topic and never elsewhere."""
        records = self.codec.warm_ups(self.settings.limits.warm_ups)
        with nullcontext(publisher) if publisher else self.input_publisher() as to:
            publish_and_wait(to, records)
