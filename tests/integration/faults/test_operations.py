"""Operators replay dead letters and purge claims while the world breaks."""

from __future__ import annotations

import signal

import pytest
from attrs import evolve
from tests.harness.deployment import MIX, PATIENCE, RECORDS, Deployment, busy
from tests.harness.history import read_topic

from voltpay_core.dead_letters import DeadLetter

BAD = evolve(MIX, poison=0.3)
REPLAY = ("dead-letter", "replay", "--yes")
PURGE = ("idempotency", "purge", "--older-than", "7d", "--force", "--chunk", "100")


def attempts(deployment: Deployment) -> list[int]:
    """How often the messages of the dead letters have failed."""
    letters = read_topic(deployment.group.servers, deployment.topics.dead_letter)
    return [DeadLetter.read(letter).attempt for letter in letters]


def test_a_replay_is_killed(deployment: Deployment) -> None:
    """A killed replay is run again; letters that it sends twice have one outcome."""
    deployment.feed(RECORDS, mix=BAD)
    deployment.drain()
    letters = len(attempts(deployment))
    replay = deployment.start(*REPLAY, failing="2 halfway publish = kill")
    assert replay.exit_code() == -signal.SIGKILL
    deployment.run(*REPLAY)
    deployment.drain()
    again = [attempt for attempt in attempts(deployment) if attempt == 2]
    assert letters <= len(again) < 2 * letters
    assert deployment.violations() == []


@pytest.mark.faults
def test_letters_that_fail_again(deployment: Deployment) -> None:
    """Each replay counts an attempt; at the limit letters stay where they are."""
    deployment.feed(200, mix=BAD)
    deployment.drain()
    letters = len(attempts(deployment))
    for attempt in (1, 2):
        assert attempts(deployment).count(attempt) == letters
        deployment.run(*REPLAY, "--max-attempts", "3")
        deployment.drain()
    deployment.run(*REPLAY, "--max-attempts", "3")
    assert deployment.drain()["dead_letters"] == 0
    assert attempts(deployment).count(3) == letters
    assert deployment.violations() == []


@pytest.mark.faults
def test_letters_fail_again_at_once(deployment: Deployment) -> None:
    """A replay beside a running writer sends each letter once, though it comes back meanwhile."""
    deployment.feed(RECORDS, mix=BAD)
    deployment.drain()
    letters = len(attempts(deployment))
    writer = deployment.consume(1)
    writer.wait_for(lambda: "took over" in writer.printed(), seconds=PATIENCE)
    deployment.run(*REPLAY)
    writer.send(signal.SIGTERM)
    assert writer.exit_code() == 0
    deployment.drain()
    assert sorted(attempts(deployment)) == [1] * letters + [2] * letters
    assert deployment.violations() == []


def test_a_purge_is_killed(deployment: Deployment) -> None:
    """Purges die, meet one another and a busy writer; every claim that is young enough stays."""
    deployment.feed(RECORDS)
    deployment.drain()
    deployment.rows("UPDATE write.idempotency SET date = date - interval '8 days'")
    kept = deployment.rows(
        "UPDATE write.idempotency SET date = date + interval '2 days'"
        " WHERE message_id IN (SELECT message_id FROM write.idempotency LIMIT 500)"
        " RETURNING message_id"
    )
    purge = deployment.start(*PURGE, failing="3 after commit = kill")
    assert purge.exit_code() == -signal.SIGKILL
    writer = busy(deployment, "--exit-eof", seed=2)
    purges = [deployment.start(*PURGE) for _ in range(2)]
    assert [program.exit_code() for program in (*purges, writer)] == [0, 0, 0]
    assert "deadlock" not in writer.printed()
    left = {key for (key,) in deployment.rows("SELECT message_id FROM write.idempotency")}
    assert {key for (key,) in kept} <= left
    done = writer.summary()
    fresh = "SELECT count(*) FROM write.idempotency WHERE date > now() - interval '1 day'"
    assert deployment.number(fresh) == done["written"] + done["dead_letters"]
    assert not deployment.rows(
        "SELECT 1 FROM write.idempotency WHERE date < now() - interval '7 days'"
    )
    assert deployment.violations(claims_kept=False) == []
