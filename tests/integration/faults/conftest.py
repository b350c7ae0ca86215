"""For each fault: servers that may break, and topics and a database of the test's own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.databases import bootstrapped, migrated
from tests.harness.deployment import SEED, Deployment
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.postgres import PostgresServer

SOON = {
    "kafka.options.session_timeout_ms": "2000",
    "kafka.options.heartbeat_interval_ms": "300",
    "kafka.options.reconnect_backoff_max_ms": "1000",
}


def pytest_report_header() -> str:
    return f"SEED={SEED}"


@pytest.fixture(scope="session")
def brokers(kafka_cluster: KafkaCluster) -> KafkaCluster:
    """The cluster that breaks."""
    return kafka_cluster


@pytest.fixture(scope="session")
def template(request: pytest.FixtureRequest, postgres_server: PostgresServer) -> Iterator[str]:
    """A template on the server that breaks, which others may share."""
    if "STACK_POSTGRES" not in os.environ:
        yield request.getfixturevalue("migrated_template")
        return
    with migrated(postgres_server) as name:
        yield name


@pytest.fixture(params=["kafka-python", pytest.param("confluent", marks=pytest.mark.faults)])
def client(request: pytest.FixtureRequest) -> str:
    """The Kafka client of the programs; `make test` runs only `by_either_client` with both."""
    return str(request.param)


@pytest.fixture
def deployment(
    client: str,
    brokers: KafkaCluster,
    postgres_server: PostgresServer,
    template: str,
    tmp_path: Path,
) -> Iterator[Deployment]:
    """Topics, a group and a database of this test's own."""
    settings = {**SOON, "kafka.client": client}
    with (
        bootstrapped(postgres_server, template) as database,
        closing(Deployment(brokers, database, tmp_path, settings=settings)) as deployment,
    ):
        deployment.prepare()
        yield deployment
        deployment.remove_topics()
