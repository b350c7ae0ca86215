"""What a type checker says about the public API: mypy reads this module, and nothing runs it.

`assert_type` states what is inferred. An ignored error is one that mypy must report, since an
ignore that is not needed is an error itself.
"""

import sqlite3
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Event
from typing import assert_type

from voltpay_adapters import SeenEvents, backoff, payment_writer, subscribe
from voltpay_adapters.kafka import KafkaConnection, KafkaPublisher, KafkaSource
from voltpay_adapters.local import FilePublisher, FileSource, SqliteDatabase
from voltpay_adapters.postgres import DatabaseUrl, PostgresDatabase
from voltpay_adapters.testing import MemoryPublisher, MemorySource
from voltpay_core import (
    Batch,
    Codec,
    EmailEvent,
    NewPayment,
    PaymentConsumer,
    PaymentId,
    ProducerRecord,
    ReadEvent,
    Record,
    Status,
    Subscription,
    Tally,
)
from voltpay_core.outcomes import DeadLettered
from voltpay_core.ports import EventPublisher, MessageSource, PaymentDatabase, Retry


def adapters(
    kafka: KafkaConnection, files: FileSource, out: FilePublisher, log: MemorySource
) -> None:
    """Every adapter of the front doors fits its port."""
    source = KafkaSource(kafka, "topic", "group")
    sources: Sequence[MessageSource] = [source, files, log]
    publishers: Sequence[EventPublisher] = [
        KafkaPublisher(kafka, source.count_partitions),
        out,
        MemoryPublisher(),
    ]
    databases: Sequence[PaymentDatabase] = [
        PostgresDatabase(DatabaseUrl.parse("postgresql://host/name")),
        SqliteDatabase(":memory:"),
    ]
    del sources, publishers, databases


def retrying(stop: Event) -> None:
    """A policy returns what the call returns."""
    retry = backoff(300, stop, longest=5)
    assert_type(retry, Retry)
    assert_type(retry(lambda: 1), int)
    backoff(300)  # type: ignore[call-arg]
    backoff(300, stop.is_set)  # type: ignore[arg-type]
    backoff(timedelta(seconds=300), stop)  # type: ignore[arg-type]


def embedding(
    source: MessageSource, store: PaymentDatabase, events: EventPublisher, retry: Retry, stop: Event
) -> None:
    """The writer is a consumer of payments, and each of its parts has its place."""
    with payment_writer(source=source, store=store, events=events, retry=retry) as writer:
        assert_type(writer, PaymentConsumer)
        assert_type(writer.run(stop.is_set), Tally)
        writer.run(stop)  # type: ignore[arg-type]
    payment_writer(source=source, store=store, events=events)  # type: ignore[call-arg]
    payment_writer(source, store, events, retry)  # type: ignore[call-arg]
    payment_writer(source=store, store=store, events=events, retry=retry)  # type: ignore[arg-type]
    payment_writer(source=source, store=store.begin, events=events, retry=retry)  # type: ignore[arg-type]


def subscribing(source: MessageSource, retry: Retry, stop: Event) -> None:
    """Batches hold events of the kind that is subscribed to."""
    with subscribe(source, ReadEvent, retry=retry, stop=stop.is_set) as batches:
        assert_type(batches, Subscription[ReadEvent])
        for batch in batches:
            assert_type(batch, Batch[ReadEvent])
            assert_type(batch.events, Sequence[ReadEvent])
            assert_type(batch.rejected, Sequence[DeadLettered])
            batch.acknowledge()
    with subscribe(source, EmailEvent, retry=retry, stop=stop.is_set) as mails:
        assert_type([event for batch in mails for event in batch.events], list[EmailEvent])
    subscribe(source, str, retry=retry, stop=stop.is_set)  # type: ignore[type-var]
    subscribe(source, ReadEvent, retry=retry, stop=stop)  # type: ignore[arg-type]


def decoding(record: Record, produced: ProducerRecord) -> None:
    """Events have exact decimals, statuses and times; only read events have a version."""
    event = ReadEvent.decode(record)
    assert_type(event, ReadEvent)
    assert_type(event.id, PaymentId)
    assert_type(event.amount, Decimal)
    assert_type(event.status, Status)
    assert_type(event.created_at, datetime)
    assert_type(event.comment, str | None)
    event.amount = Decimal(1)  # type: ignore[misc]
    mail = EmailEvent.decode(record)
    assert_type(mail, EmailEvent)
    mail.version  # type: ignore[attr-defined]  # noqa: B018
    ReadEvent.decode(record.value)  # type: ignore[arg-type]
    ReadEvent.decode(produced)  # type: ignore[arg-type]


def producing(codec: Codec) -> None:
    """A payment becomes a record; an amount is a decimal."""
    payment = NewPayment("order-1", 1, Decimal("12.50"), "EUR", Status.SUCCESS, "VSA")
    assert_type(codec.payment_record(payment), ProducerRecord)
    codec.payment_record({"messageId": "order-1"})  # type: ignore[arg-type]
    NewPayment("order-1", 1, 12.5, "EUR", Status.SUCCESS, "VSA")  # type: ignore[arg-type]
    NewPayment("order-1", 1, Decimal("12.50"), "EUR", 2, "VSA")  # type: ignore[arg-type]


def remembering(database: sqlite3.Connection, batch: Batch[ReadEvent]) -> None:
    """New events are of the kind that was given."""
    seen = SeenEvents(database)
    assert_type(seen.new(batch.events), list[ReadEvent])
    assert_type(seen.purge(timedelta(days=30)), int)
    seen.new(["event-id"])  # type: ignore[type-var]
    seen.purge(30)  # type: ignore[arg-type]
