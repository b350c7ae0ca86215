"""What a person has to mend: the writer gives up and says so, and nothing is lost meanwhile."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import evolve, frozen
from kafka import TopicPartition
from kafka.admin import (
    ACL,
    ACLOperation,
    ACLPermissionType,
    ConfigResource,
    ConfigResourceType,
    ResourcePattern,
    ResourceType,
)
from tests.integration.databases import connected
from tests.integration.processes import PATIENCE, RECORDS, SEED, Site, busy, eventually, rows
from tests.stack.postgres import PostgresServer
from tests.support.checker import violations

from voltpay_adapters.postgres.database import NODE_LOCKS
from voltpay_core.records import Partition


@frozen
class Trouble:
    """How it begins and ends, what the writer says of it, and whether it tries again first."""

    begins: Callable[[Site], None]
    ends: Callable[[Site], None]
    says: str
    retried: bool = False


def sql(statement: str) -> Callable[[Site], None]:
    def run(site: Site) -> None:
        site.rows(statement)

    return run


def detach_months(site: Site) -> None:
    site.rows(
        """
        CREATE TABLE write.detached AS
        SELECT c.oid::regclass::text AS name, pg_get_expr(relpartbound, c.oid) AS bound
        FROM pg_class AS c JOIN pg_inherits ON inhrelid = c.oid
        WHERE inhparent = 'write.payment_notes'::regclass
        """
    )
    for name, _ in site.rows("SELECT * FROM write.detached"):
        site.rows(f"ALTER TABLE write.payment_notes DETACH PARTITION {name}")


def attach_months(site: Site) -> None:
    for name, bound in site.rows("SELECT * FROM write.detached"):
        site.rows(f"ALTER TABLE write.payment_notes ATTACH PARTITION {name} {bound}")


def delete_topic(kind: str) -> Callable[[Site], None]:
    def delete(site: Site) -> None:
        with closing(site.admin()) as admin:
            admin.delete_topics([getattr(site.topics, kind)])
            eventually(lambda: getattr(site.topics, kind) not in admin.list_topics())

    return delete


def limit_messages(most: int) -> Callable[[Site], None]:
    def limit(site: Site) -> None:
        limits = {"max.message.bytes": str(most)}
        topic = ConfigResource(ConfigResourceType.TOPIC, site.topics.read, configs=limits)
        with closing(site.admin()) as admin:
            admin.alter_configs([topic])

    return limit


def forbid_writing(site: Site) -> None:
    """Deny what had been allowed to everybody, as nobody had said anything about the topic."""
    with closing(site.admin()) as admin:
        made = admin.create_acls([writing(site)])
        assert not made["failed"]


def permit_writing(site: Site) -> None:
    with closing(site.admin()) as admin:
        admin.delete_acls([writing(site)])


def writing(site: Site) -> ACL:
    topic = ResourcePattern(ResourceType.TOPIC, site.topics.read)
    return ACL("User:ANONYMOUS", "*", ACLOperation.WRITE, ACLPermissionType.DENY, topic)


RENAME = "ALTER TABLE write.payment_core RENAME COLUMN {} TO {}"
TROUBLES = {
    "a month without a partition": Trouble(
        detach_months, attach_months, "has no partition for this month"
    ),
    "a renamed column": Trouble(
        sql(RENAME.format("currency", "coin")), sql(RENAME.format("coin", "currency")), "42703"
    ),
    "a missing privilege": Trouble(
        sql("REVOKE INSERT ON write.payment_core FROM voltpay_writer"),
        sql("GRANT INSERT ON write.payment_core TO voltpay_writer"),
        "42501",
    ),
    "a constraint that most break": Trouble(
        sql("ALTER TABLE write.payment_core ADD CONSTRAINT tiny CHECK (amount < 0.1) NOT VALID"),
        sql("ALTER TABLE write.payment_core DROP CONSTRAINT tiny"),
        "the database refused 20 messages in a row with SQLSTATE 23514",
    ),
    "no topic for events": Trouble(
        delete_topic("read"), Site.make_topics, "publishing: KafkaTimeoutError", retried=True
    ),
    "no topic for dead letters": Trouble(
        delete_topic("dead_letter"), Site.make_topics, "publishing: KafkaTimeoutError", retried=True
    ),
    "no permission to publish": Trouble(
        forbid_writing, permit_writing, "TopicAuthorizationFailedError"
    ),
    "events that are too large": Trouble(
        limit_messages(100), limit_messages(2**20), "MessageSizeTooLargeError", retried=True
    ),
}


@pytest.mark.parametrize(
    "trouble",
    rows(
        TROUBLES,
        "a month without a partition",
        "no topic for dead letters",
    ),
)
def test_somebody_has_to_mend_it(site: Site, trouble: Trouble) -> None:
    """The writer gives up, says what is wrong, and has lost, refused or acknowledged nothing."""
    site.feed(RECORDS)
    trouble.begins(site)
    consumer = site.consume(1, limits__retry_seconds=4, limits__publish_seconds=1)
    assert consumer.exit_code() == 69
    assert trouble.says in consumer.printed()
    retries = consumer.printed().count("; attempt ")
    assert retries or not trouble.retried
    trouble.ends(site)
    assert site.violations(kills=1 + retries, finished=False) == []
    site.drain()
    assert site.violations(kills=1 + retries) == []


@pytest.fixture
def small_disk(postgres_server: PostgresServer) -> Iterator[Path]:
    """A folder with room for 16 MiB, which is the tablespace `small` of the server."""
    if os.geteuid() != 0:
        no_root = "NO SMALL DISK: mounting one needs root"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(no_root)
    folder = Path(tempfile.mkdtemp(prefix="voltpay-small-"))
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
    try:
        shutil.chown(folder, "postgres", "postgres")
        postgres_server.run_sql(f"CREATE TABLESPACE small LOCATION '{folder}'")
        yield folder
        postgres_server.run_sql("DROP TABLESPACE small")
    finally:
        subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def test_the_disk_is_full(small_disk: Path, site: Site) -> None:
    """A full disk halts the writer; once there is room it goes on, and nothing is missing."""
    for (name,) in site.rows("SELECT inhrelid::regclass::text FROM pg_inherits"):
        site.rows(f"ALTER TABLE {name} SET TABLESPACE small")
    fill(balloon := small_disk / "balloon")
    site.feed(RECORDS)
    consumer = site.consume(1)
    assert consumer.exit_code() == 69
    assert "53100" in consumer.printed()
    assert site.violations(finished=False) == []
    balloon.unlink()
    site.drain()
    assert site.violations() == []


def fill(balloon: Path) -> None:
    with suppress(OSError), balloon.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.faults
@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(-timedelta(hours=1), id="an hour back"),
        pytest.param(timedelta(days=40), id="40 days ahead"),
    ],
)
def test_the_clock_is_wrong(site: Site, ahead: timedelta) -> None:
    """A clock that is not the database's halts the writer before it writes anything."""
    site.feed(100)
    wrong = site.consume(1, test_clock=ahead.total_seconds())
    assert wrong.exit_code() == 69
    assert "set the clock right" in wrong.printed()
    assert site.number("SELECT count(*) FROM write.idempotency") == 0
    site.drain()
    assert site.violations() == []


def test_a_node_id_is_taken(site: Site) -> None:
    """The second process of one node id refuses without asking Kafka; the first goes on."""
    first = busy(site)
    second = site.consume(1, "--exit-eof", "--source", "kafka://127.0.0.1:1")
    assert second.exit_code() == 78
    assert "node id 1 is taken" in second.printed()
    first.send(signal.SIGTERM)
    assert first.exit_code() == 0
    site.drain()
    assert site.violations() == []


@pytest.mark.faults
def test_a_node_id_is_lost(site: Site) -> None:
    """Who loses its lease to another process writes nothing under that id any more."""
    consumer = busy(site, limits__retry_seconds=2)
    with connected(site.database.superuser) as other:
        other.run(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'voltpay_writer' AND datname = current_database()"
        )
        other.run("SELECT pg_advisory_lock(:locks::int, 1)", locks=NODE_LOCKS)
        written = site.written_by(1)
        assert consumer.exit_code() == 69
        assert "node id 1 is taken" in consumer.printed()
        assert site.written_by(1) == written
    site.drain()
    assert site.violations(kills=1) == []


def test_offsets_move_back(site: Site) -> None:
    """What is read again from the beginning changes no row and tells nobody anything."""
    site.feed(RECORDS)
    site.drain()
    before = site.history()
    site.move_offsets_back()
    again = site.drain()
    after = site.history()
    assert (again["written"], again["dead_letters"], again["events"]) == (0, 0, 0)
    assert again["duplicates"] == RECORDS
    assert (after.tables.core, after.published) == (before.tables.core, before.published)
    assert violations(after) == []


def test_the_input_topic_is_deleted(site: Site) -> None:
    """The writer waits for it, gives up in few lines, and reads all of one that is made anew."""
    site.feed(200)
    consumer = site.consume(1, limits__retry_seconds=4)
    eventually(lambda: site.lag() == 0)
    delete_topic("writer")(site)
    assert consumer.exit_code() == 69
    told = consumer.printed().splitlines()
    assert f"Kafka has no topic {site.topics.writer}: run `voltpay topics create`" in told[-1]
    assert len(told) < 40
    site.make_topics()
    site.feed(200, seed=SEED + 1)
    done = site.drain()
    assert done["written"] + done["duplicates"] + done["dead_letters"] + done["warm_ups"] == 200


def expire_halves(site: Site) -> dict[Partition, int]:
    """Let the older half of each partition go, and tell where the rest begins."""
    with closing(site.admin()) as admin:
        begins = {place: end // 2 for place, end in site.group.ends(admin).items()}
        admin.delete_records({TopicPartition(p.topic, p.number): n for p, n in begins.items()})
    return begins


def test_records_expire_unread(site: Site) -> None:
    """The writer says how many it never saw, and goes on only where it is told to."""
    site.feed(RECORDS)
    assert site.consume(1, "--max-messages", "500").exit_code() == 0
    before = site.history()
    begins = expire_halves(site)
    halted = site.consume(2)
    assert halted.exit_code() == 69
    assert any(
        f"{begins[place] - offset} records of {place} expired before they were read"
        in halted.printed()
        for place, offset in before.acknowledged.items()
    )
    site.drain("--skip-expired")
    after = site.history()
    read = [
        record
        for record in before.produced
        if record.offset
        < min(before.acknowledged.get(record.partition, 0), begins[record.partition])
    ]
    assert len(read) < sum(begins.values())
    assert violations(evolve(after, produced=[*read, *after.produced])) == []


@pytest.mark.faults
def test_the_first_records_expire_unread(site: Site) -> None:
    """A partition that was watched while it was empty does not lose its first records unnoticed."""
    watcher = site.consume(1)
    watcher.wait_for(lambda: "took over" in watcher.printed(), seconds=PATIENCE)
    watcher.send(signal.SIGTERM)
    assert watcher.exit_code() == 0
    site.feed(RECORDS)
    expire_halves(site)
    halted = site.consume(1, "--exit-eof")
    assert halted.exit_code() == 69
    assert "expired before they were read" in halted.printed()
