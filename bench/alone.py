"""Parts of the path alone, each in a process of its own, which prints when it began and ended."""

from __future__ import annotations

import sys
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any, TypeVar

import msgspec
from attrs import define, field, frozen
from kafka.future import Future
from pg8000.native import Connection

from bench.payments import COPIED, copy_rows, records, written
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.settings.loading import load
from voltpay_cli.wiring import Wiring
from voltpay_core.codec import Codec
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.ports import (
    EventPublisher,
    MessageSource,
    PaymentDatabase,
    Publication,
)
from voltpay_core.records import ProducerRecord

T = TypeVar("T")

TICK = 0.01
"""Seconds between two sends of the steady load."""

_PATIENCE = 60
"""Seconds for acknowledgements."""

_LINGER = 1.0
"""Seconds after the end, in which the sampler sees this process once more."""


@frozen
class Task:
    """What to do.

    Attributes:
        way: ``rows`` prepares the file of ``copy``; ``consume``, ``publish`` and ``steady`` use the
            Kafka client of the settings.
        superuser: The URL for ``copy``.
        rows: The file of ``copy``.
        rate: Payments a second of ``steady``.
    """

    way: str
    payments: int
    batch_size: int
    accounts: int
    partitions: int
    superuser: str = ""
    rows: str = ""
    rate: int = 0


@frozen
class Window:
    """The time of the work itself, without its preparation, in seconds since 1970."""

    begin: float
    end: float
    payments: int


def main() -> None:
    """Do the task that the argument states, and print the window as a line of JSON."""
    task = msgspec.json.decode(sys.argv[2], type=Task)
    window = _WAYS[task.way](task)
    print(msgspec.json.encode(window).decode(), flush=True)
    time.sleep(_LINGER)


def _rows(task: Task) -> Window:
    begin = time.time()
    made = written(Codec(), task.payments, task.accounts, task.partitions)
    batches = [copy_rows(one.payment for one in batch) for batch in _batches(made, task.batch_size)]
    Path(task.rows).write_bytes(msgspec.msgpack.encode(batches))
    return Window(begin, time.time(), task.payments)


def _copy(task: Task) -> Window:
    """The first batch warms the connection, and does not count."""
    target = DatabaseUrl.parse(task.superuser)
    (host,) = target.hosts
    batches = msgspec.msgpack.decode(Path(task.rows).read_bytes(), type=list[tuple[str, ...]])
    with Connection(target.user, host.name, target.database, host.port, target.password) as at:

        def copy(some: Iterable[tuple[str, ...]]) -> None:
            for batch in some:
                at.run("BEGIN")
                for table, rows in zip(COPIED, batch, strict=True):
                    at.run(f"COPY write.{table} FROM STDIN", stream=[rows])
                at.run("COMMIT")

        copy(batches[:1])
        return _timed(lambda: copy(batches[1:]), task.payments - batches[0][0].count("\n"))


def _consume(task: Task) -> Window:
    """The first batch joins the group, and does not count."""
    with _ports() as ports:

        def poll(until: int, seen: int = 0) -> int:
            while seen < until:
                polled = ports.source.poll(task.batch_size)
                ports.source.seek_to_committed(polled.assigned)
                if polled.positions:
                    ports.source.acknowledge(polled.positions)
                seen += len(polled.records)
            return seen

        first = poll(1)
        return _timed(lambda: poll(task.payments, first), task.payments - first)


def _publish(task: Task) -> Window:
    """The first batch connects, and does not count; one batch may be on its way."""
    with _ports() as ports:
        made = list(written(ports.codec, task.payments, task.accounts, task.partitions))
        first, *rest = (
            [event for one in batch for event in ports.codec.events(one)]
            for batch in _batches(made, task.batch_size)
        )
        ports.publisher.publish(first).wait()

        def publish() -> None:
            previous: Publication | None = None
            for batch in rest:
                publication = ports.publisher.publish(batch)
                if previous:
                    previous.wait()
                previous = publication
            if previous:
                previous.wait()

        return _timed(publish, task.payments - min(task.batch_size, task.payments))


def _steady(task: Task) -> Window:
    """Send at a steady rate; the timestamp of a record is when it was due, however late it is.

    Nothing waits for an acknowledgement: otherwise the latency would be that of the producer.
    """
    wiring = Wiring(settings=load({}).settings)
    (url,) = wiring.settings.required("source")
    made = list(records(wiring.codec, task.payments, task.accounts, seed=3))
    with closing(KafkaConnection.parse(url).producer(linger_ms=1)) as producer:

        def send(record: ProducerRecord, at: float) -> Future:
            given = {
                "key": record.key,
                "headers": [*record.headers],
                "timestamp_ms": int(at * 1000),
            }
            return producer.send(record.topic, record.value, **given)

        (warm_up,) = wiring.codec.warm_ups(1)
        send(warm_up, time.time()).get(_PATIENCE)
        begin, sent = time.time(), 0
        due = [begin + int(number / (task.rate * TICK)) * TICK for number in range(len(made))]
        while sent < len(made):
            time.sleep(max(0.0, due[sent] - time.time()))
            until = bisect_right(due, time.time())
            for record, at in zip(made[sent:until], due[sent:until], strict=True):
                send(record, at)
            sent = until
        producer.flush(_PATIENCE)
        return Window(begin, time.time(), sent)


_WAYS: dict[str, Callable[[Task], Window]] = {
    "rows": _rows,
    "copy": _copy,
    "consume": _consume,
    "publish": _publish,
    "steady": _steady,
}


@frozen
class _Ports:
    source: MessageSource
    publisher: EventPublisher
    codec: Codec


@define(kw_only=True)
class _Wiring(Wiring):
    """Keeps the adapters that the settings name."""

    ports: list[_Ports] = field(factory=list)

    def assemble(
        self,
        source: MessageSource,
        store: PaymentDatabase,
        events: EventPublisher,
        *others: Any,
    ) -> AbstractContextManager[PaymentConsumer]:
        self.ports.append(_Ports(source, events, self.codec))
        return super().assemble(source, store, events, *others)


@contextmanager
def _ports() -> Iterator[_Ports]:
    wiring = _Wiring(settings=load({}).settings)
    with wiring.payment_consumer(Event(), lambda _: None):
        yield wiring.ports[0]


def _timed(act: Callable[[], object], payments: int) -> Window:
    begin = time.time()
    act()
    return Window(begin, time.time(), payments)


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


if __name__ == "__main__":
    main()
