"""Processes die, stall and leave, wherever they are with their work."""

from __future__ import annotations

import signal
from functools import partial

import pytest
from tests.harness.deployment import (
    RECORDS,
    WORKED,
    Deployment,
    busy,
    by_either_client,
    eventually,
    rows,
)
from tests.harness.stack.postgres import PostgresServer

KILLS = {
    "after the poll": f"{WORKED}, before begin",
    "inside the transaction": f"{WORKED}, after outbox.put",
    "after the commit, before the publish": f"{WORKED}, after outbox.put, after commit",
    "after some acknowledgements": f"{WORKED}, halfway publish",
    "after all, before the offset commit": f"{WORKED}, before acknowledge",
    "after the offset commit, before the outbox delete": WORKED,
}


@by_either_client
@pytest.mark.parametrize(
    "way",
    rows(KILLS, "after the commit, before the publish"),
)
def test_killed(deployment: Deployment, way: str) -> None:
    """A process that dies at any point is replaced, and repeats a batch of events at most."""
    deployment.feed(RECORDS)
    assert deployment.consume(1, failing=f"{way} = kill").exit_code() == -signal.SIGKILL
    deployment.drain()
    assert deployment.violations(kills=1) == []


TAKE_OVERS = {
    "before it raises the fence": "before fence.bump_epochs",
    "after it raised the fence": "after fence.bump_epochs, after commit",
    "halfway through what waited": "halfway publish",
    "after it published what waited": "after wait",
    "after it found the offsets": "after seek_to_committed",
}


@pytest.mark.parametrize("way", rows(TAKE_OVERS))
def test_killed_during_the_take_over(deployment: Deployment, way: str) -> None:
    """The successor of a dead process may die of the same, wherever it is with its take-over."""
    deployment.feed(RECORDS)
    first = deployment.consume(1, failing=f"{WORKED}, after outbox.put, after commit = kill")
    assert first.exit_code() == -signal.SIGKILL
    second = deployment.consume(2, "--exit-eof", failing=f"{way} = kill")
    assert second.exit_code() == -signal.SIGKILL
    deployment.drain()
    assert deployment.violations(kills=2) == []


@pytest.mark.faults
def test_killed_at_rest(deployment: Deployment) -> None:
    """Without a pending outbox row, a kill repeats no event."""
    deployment.feed(RECORDS)
    consumer = deployment.consume(1)
    consumer.wait_for(lambda: deployment.written_by(1) > 0 and deployment.lag() == 0, seconds=60)
    consumer.wait_for(lambda: not deployment.rows("SELECT 1 FROM write.outbox"), seconds=60)
    consumer.end(signal.SIGKILL)
    deployment.feed(RECORDS, seed=2)
    deployment.drain()
    assert deployment.violations() == []


STALLS = {
    "before the transaction": f"{WORKED}, before begin",
    "inside the transaction": f"{WORKED}, after outbox.put",
    "after the commit": f"{WORKED}, after outbox.put, after commit",
}


@by_either_client
@pytest.mark.parametrize("way", rows(STALLS, "after the commit"))
def test_stalled(deployment: Deployment, way: str) -> None:
    """A stalled owner that wakes up writes nothing more; a late publish repeats its events once."""
    deployment.feed(RECORDS)
    stalled = deployment.consume(1, failing=f"{way} = suspend", database__idle_seconds=3)
    stalled.wait_for(stalled.is_suspended, seconds=60)
    deployment.drain()
    written = deployment.written_by(1)
    stalled.send(signal.SIGCONT)
    stalled.wait_for(lambda: stalled.printed().count("took over") > 1, seconds=60)
    stalled.send(signal.SIGTERM)
    assert stalled.exit_code() == 0
    assert deployment.written_by(1) == written
    assert deployment.violations(kills=1) == []


def test_too_long_between_two_polls(deployment: Deployment) -> None:
    """A process that exceeds max.poll.interval joins its group again and loses nothing."""
    deployment.feed(RECORDS)
    slow = f"{WORKED}, before begin = sleep 6"
    flags = ("--exit-eof", "-X", "max_poll_interval_ms=3000")
    consumer = deployment.consume(1, *flags, failing=slow)
    assert consumer.exit_code() == 0
    assert consumer.printed().count("took over") > 1
    assert deployment.violations(kills=1) == []


def test_stopped(deployment: Deployment) -> None:
    """A stopped process finishes its batch and leaves; the next owner repeats nothing."""
    consumer = busy(deployment)
    assert deployment.members() == 1
    consumer.send(signal.SIGTERM)
    assert consumer.exit_code() == 0
    assert deployment.members() == 0
    assert deployment.lag() > 0
    deployment.drain()
    assert deployment.violations() == []


@pytest.mark.faults
def test_stopped_twice(deployment: Deployment) -> None:
    """A second signal ends the process at once, whatever it is doing."""
    deployment.feed(RECORDS)
    consumer = deployment.consume(1, failing=f"{WORKED}, after outbox.put = sleep 600")
    consumer.wait_for(lambda: "failpoint" in consumer.printed(), seconds=60)
    consumer.send(signal.SIGTERM)
    consumer.wait_for(lambda: "again to abort" in consumer.printed(), seconds=60)
    consumer.send(signal.SIGTERM)
    assert consumer.exit_code(seconds=60) == 75
    deployment.drain()
    assert deployment.violations(kills=1) == []


@pytest.mark.faults
def test_stopped_during_an_outage(deployment: Deployment, postgres_server: PostgresServer) -> None:
    """A process that cannot finish its batch says so, and leaves all of it to the next one."""
    consumer = busy(deployment)
    postgres_server.stop()
    try:
        consumer.wait_for(lambda: "attempt 3" in consumer.printed(), seconds=60)
        consumer.send(signal.SIGTERM)
        assert consumer.exit_code() == 75
    finally:
        postgres_server.start()
    deployment.drain()
    assert deployment.violations(kills=1) == []


@pytest.mark.parametrize("rounds", [3, pytest.param(30, marks=pytest.mark.faults)])
def test_members_come_and_go(deployment: Deployment, rounds: int) -> None:
    """Partitions move between members under load, and nothing is written or published twice."""
    deployment.feed(RECORDS)
    load = deployment.start("produce", "--rate", "500", "--count", "1000000", "--poison", "0.01")
    host = deployment.consume(1)

    def more_than(before: int) -> bool:
        return deployment.written_by(2) > before

    for _ in range(rounds):
        before = deployment.written_by(2)
        guest = deployment.consume(2)
        guest.wait_for(partial(more_than, before), seconds=60)
        guest.send(signal.SIGTERM)
        assert guest.exit_code() == 0
    load.send(signal.SIGTERM)
    assert load.exit_code() == 0
    eventually(lambda: deployment.lag() == 0, seconds=600)
    host.send(signal.SIGTERM)
    assert host.exit_code() == 0
    assert deployment.violations() == []


@pytest.mark.faults
def test_two_groups_on_one_database(deployment: Deployment) -> None:
    """Consumers of two groups fence each other; one stops and names the cause, nothing is lost."""
    deployment.feed(RECORDS)
    load = deployment.start("produce", "--rate", "500", "--count", "1000000", "--poison", "0.01")
    ours = deployment.consume(1)
    theirs = deployment.consume(2, "--group", f"{deployment.group.name}-other")
    both = (ours, theirs)
    eventually(lambda: not all(consumer.running for consumer in both), seconds=60)
    load.send(signal.SIGTERM)
    assert load.exit_code() == 0
    loud = [consumer for consumer in both if not consumer.running]
    for consumer in loud:
        assert consumer.exit_code() == 69
        assert "another consumer group writes this topic" in consumer.printed()
    for consumer in set(both).difference(loud):
        consumer.send(signal.SIGTERM)
        assert consumer.exit_code() in {0, 69, 75}
    deployment.drain()
    assert deployment.violations(kills=20) == []
