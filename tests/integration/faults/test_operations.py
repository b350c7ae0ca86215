"""Operators replay dead letters and purge claims while the world breaks."""

from __future__ import annotations

import signal

import pytest
from attrs import evolve
from tests.integration.history import read_topic
from tests.integration.processes import MIX, PATIENCE, RECORDS, Site, busy

from voltpay_core.replaying import DeadLetter

BAD = evolve(MIX, poison=0.3)
REPLAY = ("dead-letter", "replay", "--yes")
PURGE = ("idempotency", "purge", "--older-than", "7d", "--force", "--chunk", "100")


def attempts(site: Site) -> list[int]:
    """How often the messages of the dead letters have failed."""
    letters = read_topic(site.group.servers, site.topics.dead_letter)
    return [DeadLetter.read(letter).attempt for letter in letters]


def test_a_replay_is_killed(site: Site) -> None:
    """A replay that dies is run again; what it sent twice ends like what it sent once."""
    site.feed(RECORDS, mix=BAD)
    site.drain()
    letters = len(attempts(site))
    replay = site.start(*REPLAY, failing="2 halfway publish = kill")
    assert replay.exit_code() == -signal.SIGKILL
    site.run(*REPLAY)
    site.drain()
    again = [attempt for attempt in attempts(site) if attempt == 2]
    assert letters <= len(again) < 2 * letters
    assert site.violations() == []


@pytest.mark.faults
def test_letters_that_fail_again(site: Site) -> None:
    """Each replay counts an attempt; at the limit letters stay where they are."""
    site.feed(200, mix=BAD)
    site.drain()
    letters = len(attempts(site))
    for attempt in (1, 2):
        assert attempts(site).count(attempt) == letters
        site.run(*REPLAY, "--max-attempts", "3")
        site.drain()
    site.run(*REPLAY, "--max-attempts", "3")
    assert site.drain()["dead_letters"] == 0
    assert attempts(site).count(3) == letters
    assert site.violations() == []


@pytest.mark.faults
def test_letters_fail_again_at_once(site: Site) -> None:
    """A replay beside a running writer sends each letter once, though it comes back meanwhile."""
    site.feed(RECORDS, mix=BAD)
    site.drain()
    letters = len(attempts(site))
    writer = site.consume(1)
    writer.wait_for(lambda: "took over" in writer.printed(), seconds=PATIENCE)
    site.run(*REPLAY)
    writer.send(signal.SIGTERM)
    assert writer.exit_code() == 0
    site.drain()
    assert sorted(attempts(site)) == [1] * letters + [2] * letters
    assert site.violations() == []


def test_a_purge_is_killed(site: Site) -> None:
    """Purges die, meet one another and a busy writer; every claim that is young enough stays."""
    site.feed(RECORDS)
    site.drain()
    site.rows("UPDATE write.idempotency SET date = date - interval '8 days'")
    kept = site.rows(
        "UPDATE write.idempotency SET date = date + interval '2 days'"
        " WHERE message_id IN (SELECT message_id FROM write.idempotency LIMIT 500)"
        " RETURNING message_id"
    )
    purge = site.start(*PURGE, failing="3 after commit = kill")
    assert purge.exit_code() == -signal.SIGKILL
    writer = busy(site, "--exit-eof", seed=2)
    purges = [site.start(*PURGE) for _ in range(2)]
    assert [program.exit_code() for program in (*purges, writer)] == [0, 0, 0]
    assert "deadlock" not in writer.printed()
    left = {key for (key,) in site.rows("SELECT message_id FROM write.idempotency")}
    assert {key for (key,) in kept} <= left
    done = writer.summary()
    fresh = "SELECT count(*) FROM write.idempotency WHERE date > now() - interval '1 day'"
    assert site.number(fresh) == done["written"] + done["dead_letters"]
    assert not site.rows("SELECT 1 FROM write.idempotency WHERE date < now() - interval '7 days'")
    assert site.violations(claims_kept=False) == []
