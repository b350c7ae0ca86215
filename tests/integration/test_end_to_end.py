"""The whole way by the installed program, on real Kafka and real PostgreSQL."""

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.integration.databases import Database
from tests.integration.processes import SEED, Site
from tests.stack.kafka import KafkaAddress

RECORDS = 6000


@pytest.fixture
def site(kafka: KafkaAddress, migrated_database: Database, tmp_path: Path) -> Iterator[Site]:
    soon = {"kafka.options.session_timeout_ms": "6000"}  # the least that brokers allow by default
    with closing(Site(kafka, migrated_database, tmp_path, settings=soon)) as site:
        site.prepare()
        yield site


def test_a_consumer_killed_in_the_middle_loses_and_doubles_nothing(site: Site) -> None:
    """Two processes share the payments, one is killed and replaced, and all guarantees hold."""
    shares = ("--duplicates", "0.05", "--poison", "0.03", "--accounts", "200")
    site.run("produce", "--count", str(RECORDS), "--seed", str(SEED), *shares)
    killed, other = site.consume(1, "--exit-eof"), site.consume(2, "--exit-eof")
    killed.wait_for(lambda: site.written_by(1) >= 5 * site.batch_size, seconds=60)
    killed.end(signal.SIGKILL)
    left = site.lag()
    replacement = site.consume(3, "--exit-eof")
    assert (other.exit_code(), replacement.exit_code()) == (0, 0)
    assert left > 0
    assert site.written_by(2) > 0
    assert site.lag() == 0
    assert site.violations(kills=1) == []
