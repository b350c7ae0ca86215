"""Starts the real stack, measures each way in turn, several times, and prints medians."""

from __future__ import annotations

import argparse
import json
import secrets
import statistics
import subprocess
import sys
from collections.abc import Iterator

from attrs import asdict, evolve, frozen
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresServer

from bench.measuring import WARM_UP, Figures, Task
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import create
from voltpay_adapters.postgres.bootstrap import MIGRATOR, WRITER, bootstrap
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec, Topics

CEILINGS = ("copy", "consume", "publish")
UNITS = ("account", "10", "20", "50", "batch")


@frozen
class Row:
    """A line of the table."""

    name: str
    figures: list[Figures]

    def median(self, unit: str) -> float:
        return statistics.median(
            {
                "rate": one.payments / one.seconds,
                "cpu": one.cpu_seconds / one.payments * 1e6,
                "rss": one.rss_bytes / 2**20,
            }[unit]
            for one in self.figures
        )


def main() -> None:
    """Measure and print."""
    options = _options()
    with KafkaCluster() as kafka, PostgresServer() as postgres:
        _prepare(postgres)
        _fill(kafka.url, options.payments, options.partitions)
        base = Task(
            way="writer",
            payments=options.payments,
            kafka=kafka.url,
            store=postgres.url(WRITER, "voltpay", WRITER),
            superuser=postgres.superuser_url("voltpay"),
            group="",
            batch_size=options.batch_size,
            commit_unit="batch",
            partitions=options.partitions,
        )
        rows = [Row(name, []) for name, _ in _tasks(base)]
        for _ in range(options.repeats):
            for row, (_, task) in zip(rows, _tasks(base), strict=True):
                _empty(postgres)
                row.figures.append(_measure(task))
    _print(rows, options)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--payments", type=int, default=30_000, help="counted payments a run")
    parser.add_argument("--repeats", type=int, default=3, help="runs, of which the median counts")
    parser.add_argument("--partitions", type=int, default=100, help="of every topic")
    parser.add_argument("--batch-size", type=int, default=5000, help="records a batch, at most")
    return parser.parse_args()


def _tasks(base: Task) -> Iterator[tuple[str, Task]]:
    for way in CEILINGS:
        yield f"{way} alone", evolve(base, way=way, group=secrets.token_hex(4))
    for unit in UNITS:
        task = evolve(base, commit_unit=unit, group=secrets.token_hex(4))
        yield f"whole path, {unit}", task
    small = evolve(base, batch_size=500, group=secrets.token_hex(4))
    yield "whole path, batches of 500", small


def _measure(task: Task) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "bench.measuring", json.dumps(asdict(task))],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return Figures(**json.loads(done.stdout))


def _prepare(postgres: PostgresServer) -> None:
    postgres.create_database("voltpay")
    superuser = DatabaseUrl.parse(postgres.superuser_url("voltpay"))
    bootstrap(superuser, migrator_password=MIGRATOR, writer_password=WRITER)
    migrator = DatabaseUrl.parse(postgres.url(MIGRATOR, "voltpay", MIGRATOR))
    if Liquibase(migrator, classpath=str(jars("liquibase"))).update():
        sys.exit("the schema could not be made")


def _empty(postgres: PostgresServer) -> None:
    tables = ("payment_core", "payment_metadata", "payment_notes", "idempotency", "outbox")
    postgres.run_sql(
        "TRUNCATE " + ", ".join(f"write.{table}" for table in tables), database="voltpay"
    )


def _fill(kafka: str, payments: int, partitions: int) -> None:
    connection, topics = KafkaConnection.parse(kafka), Topics()
    create(connection, [Topic(name, partitions, 2, {}) for name in asdict(topics).values()])
    publisher = KafkaPublisher(connection)
    publisher.publish(list(samples(Codec(), payments + WARM_UP, seed=1, mix=Mix()))).wait()
    publisher.close()


def _print(rows: list[Row], options: argparse.Namespace) -> None:
    print(
        f"\n{options.payments} payments, {options.partitions} partitions, batches of"
        f" {options.batch_size}, medians of {options.repeats} runs, one process\n"
    )
    print("| way | payments/s | CPU µs a payment | peak RSS MiB | of publishing alone |")
    print("|---|---:|---:|---:|---:|")
    publishing = next(row for row in rows if row.name == "publish alone").median("rate")
    for row in rows:
        rate = row.median("rate")
        print(
            f"| {row.name} | {rate:,.0f} | {row.median('cpu'):.0f} | {row.median('rss'):.0f}"
            f" | {rate / publishing:.2f} |"
        )


if __name__ == "__main__":
    main()
