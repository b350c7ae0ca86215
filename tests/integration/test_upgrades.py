"""Two versions of the writer on one schema: the last release beside the code of today."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.harness import released
from tests.harness.databases import Database
from tests.harness.deployment import PATIENCE, WORKED, Deployment
from tests.harness.stack.kafka import KafkaCluster

from voltpay_adapters.postgres.resources import changeset_ids

RECORDS = 1500
BEFORE_PUBLISHING = f"{WORKED}, after outbox.put, after commit = kill"
RELEASED: dict[str, Any] = {"test_released": 1}
OLD, NEW = 1, 2


@pytest.fixture
def deployment(
    kafka_cluster: KafkaCluster, migrated_database: Database, tmp_path: Path
) -> Iterator[Deployment]:
    """Topics, and a database with the schema of the last release."""
    soon = {
        "kafka.options.session_timeout_ms": "2000",
        "kafka.options.heartbeat_interval_ms": "300",
    }
    if newer := len(changeset_ids()) - changeset_ids().index(released.LAST_CHANGESET) - 1:
        assert migrated_database.liquibase.rollback(newer) == 0
    with closing(
        Deployment(kafka_cluster, migrated_database, tmp_path, settings=soon)
    ) as deployment:
        deployment.prepare()
        yield deployment


def test_an_upgrade_under_load_loses_and_doubles_nothing(deployment: Deployment) -> None:
    """The schema changes below the old writer, both versions write to it, and each publishes what
    the other has committed and left in the outbox: all guarantees hold."""
    deployment.feed(RECORDS)
    old = deployment.consume(OLD, **RELEASED)
    old.wait_for(lambda: deployment.written_by(OLD) > 0, seconds=PATIENCE)
    assert deployment.database.liquibase.update() == 0
    old.wait_for(lambda: deployment.lag() == 0, seconds=PATIENCE)
    old.send(signal.SIGTERM)
    assert old.exit_code() == 0, old.printed()

    deployment.feed(RECORDS, seed=2)
    old = deployment.consume(OLD, failing=BEFORE_PUBLISHING, **RELEASED)
    assert old.exit_code() == -signal.SIGKILL
    assert pending(deployment) > 0

    new = deployment.consume(NEW, failing=BEFORE_PUBLISHING)
    assert new.exit_code() == -signal.SIGKILL  # having published what the old one left
    assert pending(deployment) > 0

    old = deployment.consume(OLD, **RELEASED)
    old.wait_for(lambda: pending(deployment) == 0, seconds=PATIENCE)
    new = deployment.consume(NEW)
    new.wait_for(lambda: deployment.members() == 2, seconds=PATIENCE)
    deployment.feed(RECORDS, seed=3)
    new.wait_for(lambda: deployment.lag() == 0, seconds=PATIENCE)
    for writer in (old, new):
        writer.send(signal.SIGTERM)
        assert writer.exit_code() == 0, writer.printed()

    assert deployment.written_by(OLD) > 0
    assert deployment.written_by(NEW) > 0
    assert deployment.violations(kills=2) == []


def pending(deployment: Deployment) -> int:
    """How many rows are in the outbox."""
    return deployment.number("SELECT count(*) FROM write.outbox")
