"""What the writer publishes, what a rebuild publishes, and how the two differ."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from threading import Event
from typing import TypeVar

import msgspec
from attrs import evolve

from voltpay_adapters.assembly import payment_writer
from voltpay_adapters.retrying import backoff
from voltpay_adapters.testing.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_core.codec import EVENT_ID_HEADER, PASSED_ON_HEADERS, Codec
from voltpay_core.events import ReadEvent
from voltpay_core.payments import NewPayment
from voltpay_core.ports import PaymentDatabase, PaymentRange, PaymentReader
from voltpay_core.rebuilding import rebuild
from voltpay_core.records import Partition, ProducerRecord, Record, last_header

T = TypeVar("T")

ALL = PaymentRange(datetime(9999, 1, 1, tzinfo=UTC))
HEADERS = (("traceparent", b"00-1"), ("correlation-id", b"c-1"), ("other", b"x"))
CODEC = Codec()


def once(act: Callable[[], T]) -> T:
    """A policy that retries nothing."""
    return act()


def write(
    store: PaymentDatabase, codec: Codec, stated: Sequence[NewPayment]
) -> list[ProducerRecord]:
    """Write these payments, and return the read events that the writer publishes."""
    log, stop = MemoryLog(), Event()
    for payment in stated:
        sent = codec.payment_record(payment, HEADERS)
        log.append(sent.value, key=sent.key, partition=payment.account_id % 3, headers=sent.headers)
    source, events = MemorySource(log), MemoryPublisher()
    source.assign(log.partitions)
    with payment_writer(
        source=source, store=store, events=events, retry=backoff(0, stop), codec=codec
    ) as writer:
        writer.run(stop.is_set, until_drained=True)
    return [event for event in events.events if event.topic == codec.topics.read]


def rebuild_all(reader: PaymentReader, codec: Codec = CODEC) -> list[ProducerRecord]:
    events = MemoryPublisher()
    done = rebuild(reader, events, codec, ALL, retry=once)
    assert (done.finished, done.published) == (True, len(events.events))
    return events.events


def as_rebuilt(event: ProducerRecord) -> ProducerRecord:
    """The event with what the tables do not keep taken out, and its derived message id."""
    message_id = ReadEvent.decode(as_record(event)).message_id
    version = event_id(event).removesuffix(":read")
    old, new = (
        b'"messageId":' + msgspec.json.encode(text) for text in (message_id, f"rebuilt:{version}")
    )
    assert event.value is not None
    return evolve(
        event,
        value=event.value.replace(old, new, 1),
        headers=tuple(each for each in event.headers if each[0] not in PASSED_ON_HEADERS),
        partition=None,
    )


def as_record(event: ProducerRecord) -> Record:
    return Record(Partition(event.topic, 0), 0, None, event.key, event.value, event.headers)


def event_id(event: ProducerRecord) -> str:
    return (last_header(event.headers, EVENT_ID_HEADER) or b"").decode()
