"""The whole way by the installed program, on real Kafka and real PostgreSQL, by either client."""

import os
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.databases import Database
from tests.harness.deployment import PATIENCE, SEED, Deployment
from tests.harness.stack.kafka import KafkaAddress

RECORDS = 6000


@pytest.fixture(params=["kafka-python", "confluent"])
def deployment(
    request: pytest.FixtureRequest,
    kafka: KafkaAddress,
    migrated_database: Database,
    tmp_path: Path,
) -> Iterator[Deployment]:
    soon = {
        "kafka.client": request.param,
        "kafka.options.session_timeout_ms": "6000",  # the least that brokers allow by default
    }
    with closing(Deployment(kafka, migrated_database, tmp_path, settings=soon)) as deployment:
        deployment.prepare()
        yield deployment


def test_a_consumer_killed_in_the_middle_loses_and_doubles_nothing(deployment: Deployment) -> None:
    """Two processes share the payments, one is killed and replaced, and all guarantees hold."""
    shares = ("--duplicates", "0.05", "--poison", "0.03", "--accounts", "200")
    deployment.run("produce", "--count", str(RECORDS), "--seed", str(SEED), *shares)
    killed, other = deployment.consume(1, "--exit-eof"), deployment.consume(2, "--exit-eof")
    killed.wait_for(lambda: deployment.written_by(1) >= 5 * deployment.batch_size, seconds=60)
    killed.end(signal.SIGKILL)
    left = deployment.lag()
    replacement = deployment.consume(3, "--exit-eof")
    assert (other.exit_code(), replacement.exit_code()) == (0, 0)
    assert left > 0
    assert deployment.written_by(2) > 0
    assert deployment.lag() == 0
    assert deployment.violations(kills=1) == []


def test_workers_share_the_payments(deployment: Deployment) -> None:
    """Three workers of one command write everything once, though one of them is killed."""
    supervisor = deployment.start("consume", "--workers", "3")
    supervisor.wait_for(lambda: deployment.members() == 3, seconds=PATIENCE)
    deployment.run("produce", "--count", str(RECORDS), "--seed", str(SEED))
    os.kill(children(supervisor.pid)[0], signal.SIGKILL)
    supervisor.wait_for(
        lambda: "died (-9); restart in 1 s" in supervisor.printed(), seconds=PATIENCE
    )
    supervisor.wait_for(lambda: deployment.lag() == 0, seconds=PATIENCE)
    supervisor.send(signal.SIGTERM)
    assert supervisor.exit_code() == 0
    assert deployment.violations(kills=1) == []


def test_a_stop_of_the_supervisor_stops_its_workers(deployment: Deployment) -> None:
    """After SIGTERM every worker finishes its batches, and one summary has the sum of all."""
    deployment.run("produce", "--count", str(RECORDS), "--seed", str(SEED))
    supervisor = deployment.start("consume", "--workers", "2", "--output", "json")
    supervisor.wait_for(lambda: deployment.written_by(0, 1) > 0, seconds=PATIENCE)
    supervisor.send(signal.SIGTERM)
    assert supervisor.exit_code() == 0
    assert supervisor.summary()["written"] == deployment.written_by(0, 1)
    assert deployment.violations(finished=False) == []


def children(pid: int) -> list[int]:
    """The processes that a process has started (Linux)."""
    tasks = Path(f"/proc/{pid}/task").iterdir()
    return [int(child) for task in tasks for child in (task / "children").read_text().split()]
