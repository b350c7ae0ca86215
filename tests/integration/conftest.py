"""The real servers that integration tests run against, started once a session."""

import gc
import os
import warnings
from collections.abc import Iterator

import pytest
from tests.harness.databases import (  # noqa: F401 - fixtures
    bare_database,
    migrated_database,
    migrated_template,
)
from tests.harness.stack.available import available
from tests.harness.stack.places import THRIFTY
from tests.harness.stack.postgres import PostgresAddress, PostgresServer

with warnings.catch_warnings():  # Python 3.11 and 3.12 warn of how kafka-python reads its files
    warnings.simplefilter("ignore", DeprecationWarning)
    from tests.harness.stack.kafka import KafkaAddress, KafkaCluster

# kafka-python leaves to the garbage collector the sockets of refused connections, and the one by
# which it looks for leaders while it is closed
LEFT_SOCKETS = (
    r"unclosed <socket\.socket fd=\d+, .* proto=6, laddr=\('0\.0\.0\.0', \d+\)>",
    r"unclosed <socket\.socket fd=\d+, .*laddr=\('127\.0\.0\.1', \d+\), raddr",
)


LONGEST_FIRST = (
    "test_kafka.py",
    "test_cli_operations.py",
    "test_end_to_end.py",
    "test_processes.py",
    "test_sessions.py",
    "test_halts.py",
    "test_bench.py",
    "test_status.py",
    "test_sasl.py",
)


def pytest_configure(config: pytest.Config) -> None:
    for socket in LEFT_SOCKETS:
        config.addinivalue_line("filterwarnings", f"ignore:{socket}:ResourceWarning")
    os.environ.setdefault("JDK_JAVA_OPTIONS", " ".join(THRIFTY))  # half of Liquibase's CPU time


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files begin, so that the processes that share the tests end together."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_sessionfinish() -> None:
    gc.collect()  # those of the last test, for afterwards their warning is ignored no longer


@pytest.fixture(scope="session")
def kafka(request: pytest.FixtureRequest) -> KafkaAddress:
    """A Kafka cluster to use: the one of STACK_KAFKA (host:port,…), or our own."""
    if bootstrap := os.environ.get("STACK_KAFKA"):
        return KafkaAddress(bootstrap)
    cluster: KafkaCluster = request.getfixturevalue("kafka_cluster")
    return cluster


@pytest.fixture(scope="session")
def kafka_cluster() -> Iterator[KafkaCluster]:
    """A Kafka cluster of our own, for tests that take brokers away; they bring them back."""
    with available(KafkaCluster.for_tests) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresAddress:
    """A PostgreSQL server to use: the superuser's URL in STACK_POSTGRES, or our own."""
    if url := os.environ.get("STACK_POSTGRES"):
        return PostgresAddress.from_url(url)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of our own, for tests that stop it; they start it again."""
    with available(lambda: PostgresServer(durable=False)) as server:
        yield server
