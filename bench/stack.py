"""The servers of the benchmark, the topics with their records, and what PostgreSQL counts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event

from attrs import frozen
from tests.harness.databases import Database, bootstrapped
from tests.harness.deployment import Deployment
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.postgres import PostgresServer

from bench.figures import Commit
from bench.payments import COMMENT, records
from bench.plan import Stock
from voltpay_adapters.kafka.requirements import Topic, exactly
from voltpay_adapters.kafka.topics import create
from voltpay_adapters.retrying import backoff
from voltpay_core.codec import Codec

KAFKA_SETTINGS = {"group.initial.rebalance.delay.ms": "3000"}
"""Kafka's default: all workers of a new group get their partitions at once."""

POSTGRES_SETTINGS = {"track_commit_timestamp": "on"}
"""The time of each commit is read from the database afterwards, which costs the writer nothing."""

_OUTPUT = (
    exactly("message.timestamp.type", "LogAppendTime", "the broker says when an event arrived"),
    # the events of many runs must not fill the disk
    exactly("segment.bytes", str(2**22), "only whole segments are deleted"),
    exactly("retention.bytes", str(2**23), "the size of a partition"),
)
_TABLES = ("payment_core", "payment_metadata", "payment_notes", "idempotency", "outbox")
_CHUNK = 20_000
_PATIENCE = 120


@frozen
class Stack:
    """Two brokers and a database."""

    kafka: KafkaCluster
    postgres: PostgresServer
    database: Database
    folder: Path

    def parts(self) -> dict[str, list[int]]:
        """The ids of the first processes of each server."""
        return {"PostgreSQL": [self.postgres.pid], "brokers": self.kafka.pids()}

    def deployment(self, partitions: int, name: str) -> Deployment:
        """Topics of this name, and programs that work on them."""
        folder = self.folder / name
        folder.mkdir()
        deployment = Deployment(
            *(self.kafka, self.database, folder), partitions=partitions, token=name
        )
        names = (deployment.topics.read, deployment.topics.email)
        output = [Topic(one, partitions, 2, _OUTPUT) for one in names]
        retry = backoff(_PATIENCE, Event())  # so many partitions may take longer than a request
        retry(partial(create, deployment.connection, output))
        retry(deployment.prepare)
        return deployment

    def empty(self, deployment: Deployment) -> None:
        """Remove all payments and claims; a checkpoint of an earlier run must not disturb."""
        deployment.rows("TRUNCATE " + ", ".join(f"write.{table}" for table in _TABLES))
        deployment.rows("CHECKPOINT")


@contextmanager
def started() -> Iterator[Stack]:
    """Servers of our own, which are stopped in the end."""
    with ExitStack() as opened:
        kafka = opened.enter_context(KafkaCluster(KAFKA_SETTINGS))
        postgres = opened.enter_context(PostgresServer(settings=POSTGRES_SETTINGS))
        yield opened.enter_context(prepared(kafka, postgres))


@contextmanager
def prepared(kafka: KafkaCluster, postgres: PostgresServer) -> Iterator[Stack]:
    """Running servers, with a database that has the schema."""
    with (
        bootstrapped(postgres) as database,
        TemporaryDirectory(prefix="voltpay-bench-") as folder,
    ):
        if database.liquibase.update():
            raise SystemExit("bench: Liquibase failed; its messages are above")
        yield Stack(kafka, postgres, database, Path(folder))


def fill_tables(deployment: Deployment, stock: Stock) -> None:
    """Fill the tables in bulk; the ids of claims are random, as those of messages are."""
    month = "date_trunc('month', now(), 'UTC')"
    payments = f"FROM generate_series(1, {stock.payments}) n"
    payment_id = "lpad(n::text, 26, '0') || '-999'"
    claims = f"FROM generate_series(1, {stock.expired + stock.claims}) n"
    claimed = f"now() - interval '1 year' * (n <= {stock.expired})::int"
    core = f"{payment_id}, 9.5, 2, 'EUR', 1, 'VSA', {month}"
    for statement in (
        f"INSERT INTO write.payment_core SELECT {core} {payments}",
        f"INSERT INTO write.payment_metadata SELECT {payment_id}, {month}, {month}, 1 {payments}",
        f"INSERT INTO write.payment_notes SELECT {payment_id}, {month}, '', '{COMMENT}' {payments}",
        "ALTER TABLE write.idempotency DROP CONSTRAINT idempotency_pkey",
        f"INSERT INTO write.idempotency SELECT gen_random_uuid(), {claimed} {claims}",
        "ALTER TABLE write.idempotency ADD CONSTRAINT idempotency_pkey PRIMARY KEY (message_id)",
        *(f"VACUUM (ANALYZE) write.{table}" for table in _TABLES),
        "CHECKPOINT",
    ):
        deployment.rows(statement)


def fill(deployment: Deployment, count: int, accounts: int) -> None:
    """Put this number of payments on the input topic."""
    rest = records(Codec(deployment.topics), count, accounts, seed=1)
    while chunk := list(islice(rest, _CHUNK)):
        deployment.publish(chunk)


def counters(deployment: Deployment) -> tuple[int, int]:
    """Bytes of WAL, and transactions of this database, up to now."""
    ((wal_bytes, transactions),) = deployment.rows(
        "SELECT pg_current_wal_lsn() - '0/0'::pg_lsn, xact_commit"
        " FROM pg_stat_database WHERE datname = current_database()"
    )
    return int(wal_bytes), int(transactions)


def commits(deployment: Deployment, since: float) -> list[Commit]:
    """The transactions that wrote payments made since then.

    A payment's id ends with the id of its process.
    """
    rows = deployment.rows(
        "SELECT right(id, 3), extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8, count(*)"
        f" FROM write.payment_core WHERE created_at >= to_timestamp({since}) GROUP BY 1, 2"
    )
    return [Commit(node, at, payments) for node, at, payments in rows]


def committed_at(deployment: Deployment) -> dict[str, float]:
    """The time of the commit of each message id."""
    rows = deployment.rows(
        "SELECT message_id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8"
        " FROM write.idempotency"
    )
    return dict(rows)
