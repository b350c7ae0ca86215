"""How much is measured, in the short form and in the long one."""

from __future__ import annotations

from importlib.util import find_spec

from attrs import frozen


@frozen
class Stock:
    """What full tables hold already, made in bulk.

    Attributes:
        payments: Of this month.
        claims: Of today.
        expired: Older claims, for a purge that lasts longer than the runs beside it.
        chunk: Claims in a transaction of the purge.
    """

    payments: int
    claims: int
    expired: int
    chunk: int = 10_000


@frozen
class Plan:
    """The size of a benchmark.

    Attributes:
        payments: The records in the topic, for each run.
        warm_runs: Runs of the writer before anything counts, so that Java has compiled the brokers.
        pairs: Runs of each way, each right after one of COPY.
        batch_size: Of everything but the table.
        seconds: The limit of one run of the writer, its start included.
        commit_units: Rows of the table.
        batch_sizes: Columns of the table.
        accounts: Each number of accounts has a table of its own; the first one serves all else.
        steady_rate: Payments a second of the steady load.
        steady_seconds: The length of the steady load.
        table_steady_seconds: The same for each cell of the first table.
        flat_payments: The payments of the long run in one go; 0 for none.
        stock: For the runs with full tables, if there are any.
    """

    form: str
    payments: int
    warm_runs: int
    pairs: int
    seconds: int
    commit_units: tuple[str, ...]
    batch_sizes: tuple[int, ...]
    steady_seconds: int
    table_steady_seconds: int
    flat_payments: int = 0
    stock: Stock | None = None
    workers: tuple[int, ...] = (1, 2)
    batch_size: int = 5000
    accounts: tuple[int, ...] = (10_000, 10)
    steady_rate: int = 1000
    partitions: int = 100


SHORT = Plan("short", 50_000, 6, 5, 30, ("account", "20", "batch"), (500, 5000), 15, 6)
LONG = Plan(
    *("long", 200_000, 2, 5, 120, ("account", "10", "20", "50", "batch"), (100, 500, 1000, 5000)),
    *(60, 20, 1_000_000),
    stock=Stock(payments=20_000_000, claims=25_000_000, expired=25_000_000),
)


def clients() -> list[str]:
    """The Kafka clients that are installed, as the setting `kafka.client` names them."""
    found = ["kafka-python"]
    if find_spec("voltpay_adapters.confluent") and find_spec("confluent_kafka"):
        found.append("confluent")
    return found
