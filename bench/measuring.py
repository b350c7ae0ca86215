"""One measurement, in a process of its own: prints its figures as JSON."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from threading import Event
from typing import TypeVar

from attrs import asdict, frozen
from pg8000.native import Connection

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_cli.settings import Settings, Url
from voltpay_cli.wiring import Wiring
from voltpay_core.codec import Codec
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import Written
from voltpay_core.payments import Payment
from voltpay_core.records import Partition, Record

T = TypeVar("T")

WARM_UP = 2000
"""Records before the clock starts: connections, plans and caches are warm then."""


@frozen
class Task:
    """What to measure, and where.

    Attributes:
        way: ``writer``, or a ceiling: ``copy``, ``consume``, ``publish``.
        payments: Counted payments; `WARM_UP` more come before them.
    """

    way: str
    payments: int
    kafka: str
    store: str
    superuser: str
    group: str
    batch_size: int
    commit_unit: str
    partitions: int


@frozen
class Figures:
    """What one measurement found.

    Attributes:
        seconds: Of the counted payments alone.
        cpu_seconds: Of this process, all threads.
        rss_bytes: The process's peak.
    """

    payments: int
    seconds: float
    cpu_seconds: float
    rss_bytes: int


def measure(task: Task) -> Figures:
    """Do it, the counted part behind a warm-up."""
    return {"writer": _writer, "copy": _copy, "consume": _consume, "publish": _publish}[task.way](
        task
    )


def _writer(task: Task) -> Figures:
    settings = Settings(
        source=Url(task.kafka),
        store=Url(task.store),
        events=Url(task.kafka),
        group=task.group,
        batch_size=task.batch_size,
        commit_unit=task.commit_unit,
    )
    with Wiring(settings=settings).payment_consumer(Event(), lambda _: None) as consumer:
        consumer.run(lambda: False, max_records=WARM_UP)
        _settle(task)
        return _timed(
            lambda: consumer.run(lambda: False, max_records=task.payments).records - WARM_UP
        )


def _consume(task: Task) -> Figures:
    source = KafkaSource(KafkaConnection.parse(task.kafka), "payment_writer_topic", task.group)

    def poll(count: int) -> int:
        seen = 0
        while seen < count:
            polled = source.poll(min(task.batch_size, count - seen))
            source.seek_to_committed(polled.assigned)
            seen += len(polled.records)
        return seen

    poll(WARM_UP)
    figures = _timed(lambda: poll(task.payments))
    source.close()
    return figures


def _publish(task: Task) -> Figures:
    publisher = KafkaPublisher(KafkaConnection.parse(task.kafka), lambda: task.partitions)
    codec = Codec()
    written = list(_written(WARM_UP + task.payments, task.partitions))
    batches = [
        [event for one in batch for event in codec.events(one)]
        for batch in _batches(written, task.batch_size)
    ]
    warm = -(-WARM_UP // task.batch_size)
    for batch in batches[:warm]:
        publisher.publish(batch).wait()

    def publish() -> int:
        for batch in batches[warm:]:
            publisher.publish(batch).wait()
        return len(written) - warm * task.batch_size

    figures = _timed(publish)
    publisher.close()
    return figures


def _copy(task: Task) -> Figures:
    target = DatabaseUrl.parse(task.superuser)
    payments = [one.payment for one in _written(WARM_UP + task.payments, task.partitions)]
    batches = [_copied(batch) for batch in _batches(payments, task.batch_size)]
    warm = -(-WARM_UP // task.batch_size)
    (host,) = target.hosts
    with Connection(
        target.user, host.name, target.database, host.port, target.password
    ) as connection:

        def copy(some: Iterable[dict[str, str]]) -> int:
            for batch in some:
                connection.run("BEGIN")
                for table, rows in batch.items():
                    connection.run(f"COPY write.{table} FROM STDIN", stream=[rows])
                connection.run("COMMIT")
            return len(payments) - warm * task.batch_size

        copy(batches[:warm])
        _settle(task)
        return _timed(lambda: copy(batches[warm:]))


def _copied(payments: Iterable[Payment]) -> dict[str, str]:
    tables: dict[str, list[str]] = {
        "payment_core (id, amount, status, currency, account_id, type, created_at)": [],
        "payment_metadata (id, created_at, updated_at, version)": [],
        "payment_notes (id, created_at, external_ref_id, comment)": [],
        "idempotency (message_id)": [],
    }
    core, metadata, notes, claims = tables.values()
    for payment in payments:
        stated, at = payment.stated, payment.created_at.isoformat()
        core.append(
            f"{payment.id}\t{stated.amount}\t{stated.status.value}\t{stated.currency}"
            f"\t{stated.account_id}\t{stated.type}\t{at}\n"
        )
        metadata.append(f"{payment.id}\t{at}\t{at}\t{payment.version}\n")
        notes.append(
            f"{payment.id}\t{at}\t{_text(stated.external_ref_id)}\t{_text(stated.comment)}\n"
        )
        claims.append(f"{stated.message_id}\n")
    return {table: "".join(rows) for table, rows in tables.items()}


def _text(value: str | None) -> str:
    return r"\N" if value is None else value.replace("\\", "\\\\")


def _written(count: int, partitions: int) -> Iterator[Written]:
    codec, ids = Codec(), PaymentIdGenerator(lambda: time.time_ns() // 1_000_000)
    for offset, event in enumerate(samples(codec, count, seed=2, mix=Mix())):
        place = Partition("payment_writer_topic", offset % partitions)
        record = Record(place, offset, 0, event.key, event.value)
        yield Written(record, Payment(ids.mint(0), codec.decode_payment(event.value)))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _settle(task: Task) -> None:
    """Plans for tables that autoanalyze saw empty, or a checkpoint, would spoil the figures."""
    target = DatabaseUrl.parse(task.superuser)
    (host,) = target.hosts
    with Connection(
        target.user, host.name, target.database, host.port, target.password
    ) as connection:
        connection.run("VACUUM ANALYZE")
        connection.run("CHECKPOINT")


def _timed(act: Callable[[], int]) -> Figures:
    wall, cpu = time.perf_counter(), time.process_time()
    payments = act()
    return Figures(
        payments,
        time.perf_counter() - wall,
        time.process_time() - cpu,
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(measure(Task(**json.loads(sys.argv[1]))))))
