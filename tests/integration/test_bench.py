"""The benchmark on real servers, with numbers so small that its figures mean nothing."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from bench.__main__ import load, save
from bench.figures import Results
from bench.machine import describe
from bench.measuring import WATCHED, Measurement
from bench.plan import Plan, Stock
from bench.plots import draw
from bench.report import PARTS, report
from bench.stack import POSTGRES_SETTINGS, Stack, prepared
from tests.harness.stack.available import available
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.postgres import PostgresServer

PAYMENTS, BATCH_SIZE = 1500, 100
TINY = Plan(
    *("short", PAYMENTS, 0, 1, 60, ("account",), (BATCH_SIZE,)),
    steady_seconds=2,
    table_steady_seconds=0,
    workers=(2,),
    batch_size=BATCH_SIZE,
    accounts=(50,),
    steady_rate=100,
    partitions=4,
    stock=Stock(payments=1000, claims=1000, expired=100_000, chunk=10),
)


@pytest.fixture
def stack(kafka_cluster: KafkaCluster) -> Iterator[Stack]:
    with (
        available(lambda: PostgresServer(durable=False, settings=POSTGRES_SETTINGS)) as postgres,
        prepared(kafka_cluster, postgres) as stack,
    ):
        yield stack


def test_the_benchmark_measures_everything(stack: Stack, tmp_path: Path) -> None:
    """Each way has figures that can be true, and they survive their file and make a report."""
    path = tmp_path / "results.json"
    before = Results("today", TINY.form, describe(stack))
    results = Measurement(
        *(stack, TINY, ["kafka-python"], before), save=lambda found: save(found, path)
    ).everything()
    assert [way.name for way in results.ways] == ["consume", "publish", "writer"]
    for run in [*(way.pairs[0].path for way in results.ways), results.cells[0].run]:
        assert 0 < run.payments < PAYMENTS
        assert run.seconds > 0
        assert set(run.cpu) == set(PARTS)
        assert 10 < run.peak_rss < 1000
    assert [one.by for one in results.watched] == list(WATCHED)
    assert all(one.ratio.median > 0 for one in results.watched)
    (cell,), (latency,) = results.cells, results.latencies
    assert 1 < cell.run.payments_a_transaction < BATCH_SIZE
    assert cell.run.transactions * cell.run.payments_a_transaction >= 1
    assert 500 < cell.run.wal_bytes < 100_000
    assert latency.payments == sum(latency.event.values()) == pytest.approx(160, abs=10)
    assert max(latency.commit) > 0
    (take_over,) = results.take_overs
    assert 0 < take_over.seconds[0] < 60
    assert len(results.stocked) == 3
    assert all(one.rate.median > 0 for one in results.stocked)
    assert load(path) == results
    pictures = draw(results, tmp_path)
    assert len(pictures) == 5
    assert all((tmp_path / name).read_text("utf-8").count("<path") for name in pictures.values())
    assert "kafka-python, 2 workers" in report(results, pictures)
