"""Metrics and probes of writers on real servers, by HTTP."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.databases import Database, connected
from tests.harness.deployment import PATIENCE, SLOWLY, Deployment, Program, eventually
from tests.harness.history import read_topic
from tests.harness.scraping import Scraped
from tests.harness.stack.kafka import KafkaAddress

RECORDS, WARM_UPS = 600, 3


@pytest.fixture
def deployment(
    kafka: KafkaAddress, migrated_database: Database, tmp_path: Path
) -> Iterator[Deployment]:
    settings = {"kafka.options.session_timeout_ms": "6000"}
    with closing(Deployment(kafka, migrated_database, tmp_path, settings=settings)) as deployment:
        deployment.prepare()
        yield deployment


def listening(program: Program, count: int = 1) -> list[Scraped]:
    """Where the processes of a program listen, once all of them do."""
    program.wait_for(
        lambda: len(Scraped.all_named_by(program.printed())) == count, seconds=PATIENCE
    )
    return Scraped.all_named_by(program.printed())


def test_metrics_tell_what_the_servers_hold(deployment: Deployment) -> None:
    """While a writer works, what is done and what waits make up all; then counters are facts."""
    deployment.feed(RECORDS)
    deployment.rows(SLOWLY)
    writer = deployment.consume(1, "--listen", "0")
    (metrics,) = listening(writer)
    eventually(lambda: metrics.value("lag_records"))
    values = metrics.values()
    done = sum(value for (name, _), value in values.items() if name == "voltpay_records_total")
    waiting = sum(value for (name, _), value in values.items() if name == "voltpay_lag_records")
    assert RECORDS <= done + waiting <= RECORDS + deployment.batch_size + WARM_UPS
    assert metrics.value("partitions") == deployment.partitions
    eventually(lambda: deployment.lag() == 0 and metrics.value("lag_records") == 0)

    written = metrics.value("records_total", outcome="written")
    letters = metrics.value("records_total", outcome="dead_letter")
    assert written == deployment.written_by(1)
    assert letters == metrics.value("dead_letters_total") == deployment.letter_codes().total()
    assert metrics.value("records_total", outcome="warm_up") == WARM_UPS
    servers, topics = deployment.group.servers, deployment.topics
    for kind, topic in {"read": topics.read, "email": topics.email}.items():
        events = metrics.value("events_total", kind=kind, repeat="false")
        assert events == sum(1 for _ in read_topic(servers, topic))
    assert metrics.value("batch_records_count") == metrics.value("step_seconds_count", step="poll")
    assert metrics.value("writer_info", node_id="001", group=deployment.group.name) == 1

    lines = writer.printed()
    writer.send(signal.SIGTERM)
    assert writer.exit_code() == 0, lines
    assert writer.summary()["written"] == written
    assert deployment.violations() == []


def test_a_writer_is_unready_in_an_outage_and_never_dead(deployment: Deployment) -> None:
    """A locked table makes a writer unready, with the reason, until the lock is gone."""
    writer = deployment.consume(1, "--listen", "0", database__lock_seconds=1)
    (probes,) = listening(writer)
    eventually(lambda: probes.get("/readyz")[0] == 200)
    with connected(deployment.database.superuser) as locker:
        locker.run("BEGIN")
        locker.run("LOCK TABLE write.payment_core")
        deployment.feed(50)
        eventually(lambda: probes.get("/readyz")[0] == 503)
        status, answer = probes.get("/readyz")
        assert (status, ": database" in answer) == (503, True), answer
        assert probes.get("/livez")[0] == 200
        assert probes.value("outage") == 1
        assert probes.value("retries_total", target="database") >= 1
        locker.run("ROLLBACK")
    eventually(lambda: probes.get("/readyz")[0] == 200)
    eventually(lambda: deployment.lag() == 0)
    assert probes.value("outage") == 0
    writer.send(signal.SIGTERM)
    assert writer.exit_code() == 0


def test_each_worker_listens_at_its_own_port(deployment: Deployment) -> None:
    """The workers together own all partitions, and each tells what it has done itself."""
    deployment.feed(200)
    supervisor = deployment.consume("auto", "--workers", "2", "--listen", "0")
    workers = listening(supervisor, 2)
    eventually(lambda: deployment.lag() == 0)
    eventually(lambda: sum(each.value("partitions") for each in workers) == deployment.partitions)
    assert len({each.port for each in workers}) == 2
    done = sum(each.value("records_total", outcome="written") for each in workers)
    supervisor.send(signal.SIGTERM)
    assert supervisor.exit_code() == 0
    assert supervisor.summary()["written"] == done
    for number in (1, 2):
        assert any(
            line.startswith(f"[{number}] ") and "metrics are at" in line
            for line in supervisor.printed().splitlines()
        )
