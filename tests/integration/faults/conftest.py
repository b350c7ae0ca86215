"""For each fault: servers that may break, and topics and a database of the test's own."""

from __future__ import annotations

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
def brokers() -> Iterator[KafkaCluster]:
    """A cluster that gives up members after a second of silence already, and can forbid things."""
    properties = {
        "allow.everyone.if.no.acl.found": "true",
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "group.min.session.timeout.ms": "1000",
    }
    with KafkaCluster(properties, thrifty=True) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def template(postgres_server: PostgresServer) -> Iterator[str]:
    """A template on the server that breaks."""
    with migrated(postgres_server) as name:
        yield name


@pytest.fixture
def deployment(
    brokers: KafkaCluster, postgres_server: PostgresServer, template: str, tmp_path: Path
) -> Iterator[Deployment]:
    """Topics, a group and a database of this test's own."""
    with (
        bootstrapped(postgres_server, template) as database,
        closing(Deployment(brokers, database, tmp_path, settings=SOON)) as deployment,
    ):
        deployment.prepare()
        yield deployment
        deployment.remove_topics()
