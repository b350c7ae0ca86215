"""Faults that only a person can fix: the writer halts and says why, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from datetime import timedelta
from functools import partial
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
    KafkaAdminClient,
    ResourcePattern,
    ResourceType,
)
from kafka.errors import RequestTimedOutError
from tests.harness.checker import violations
from tests.harness.databases import connected
from tests.harness.deployment import PATIENCE, RECORDS, SEED, Deployment, busy, eventually, rows
from tests.harness.stack.postgres import PostgresServer

from voltpay_adapters.postgres.database import NODE_LOCKS
from voltpay_core.records import Partition


@frozen
class Trouble:
    """How it begins and ends, what the writer says of it, and whether it tries again first.

    Attributes:
        librdkafka: What is said with confluent, if the Kafka client chooses the words.
    """

    begins: Callable[[Deployment], None]
    ends: Callable[[Deployment], None]
    says: str
    retried: bool = False
    librdkafka: str = ""

    def said_by(self, client: str) -> str:
        return (client == "confluent" and self.librdkafka) or self.says


def sql(statement: str) -> Callable[[Deployment], None]:
    def run(deployment: Deployment) -> None:
        deployment.rows(statement)

    return run


def detach_months(deployment: Deployment) -> None:
    deployment.rows(
        """
        CREATE TABLE write.detached AS
        SELECT c.oid::regclass::text AS name, pg_get_expr(relpartbound, c.oid) AS bound
        FROM pg_class AS c JOIN pg_inherits ON inhrelid = c.oid
        WHERE inhparent = 'write.payment_notes'::regclass
        """
    )
    for name, _ in deployment.rows("SELECT * FROM write.detached"):
        deployment.rows(f"ALTER TABLE write.payment_notes DETACH PARTITION {name}")


def attach_months(deployment: Deployment) -> None:
    for name, bound in deployment.rows("SELECT * FROM write.detached"):
        deployment.rows(f"ALTER TABLE write.payment_notes ATTACH PARTITION {name} {bound}")


def delete_topic(kind: str) -> Callable[[Deployment], None]:
    def delete(deployment: Deployment) -> None:
        with closing(deployment.admin()) as admin:
            admin.delete_topics([getattr(deployment.topics, kind)])
            eventually(lambda: getattr(deployment.topics, kind) not in admin.list_topics())

    return delete


def limit_messages(most: int) -> Callable[[Deployment], None]:
    def limit(deployment: Deployment) -> None:
        limits = {"max.message.bytes": str(most)}
        topic = ConfigResource(ConfigResourceType.TOPIC, deployment.topics.read, configs=limits)
        with closing(deployment.admin()) as admin:
            admin.alter_configs([topic])

    return limit


def forbid_writing(deployment: Deployment) -> None:
    """Deny access to a topic that everybody could use before."""
    with closing(deployment.admin()) as admin:
        made = admin.create_acls([writing(deployment)])
        assert not made["failed"]


def permit_writing(deployment: Deployment) -> None:
    with closing(deployment.admin()) as admin:
        admin.delete_acls([writing(deployment)])


def writing(deployment: Deployment) -> ACL:
    topic = ResourcePattern(ResourceType.TOPIC, deployment.topics.read)
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
        "the database rejected 20 messages in a row with SQLSTATE 23514",
    ),
    "no topic for events": Trouble(
        delete_topic("read"),
        Deployment.make_topics,
        "publishing: KafkaTimeoutError",
        retried=True,
        librdkafka="Kafka has no topic read-",
    ),
    "no topic for dead letters": Trouble(
        delete_topic("dead_letter"),
        Deployment.make_topics,
        "publishing: KafkaTimeoutError",
        retried=True,
        librdkafka="Kafka has no topic letters-",
    ),
    "no permission to publish": Trouble(
        forbid_writing,
        permit_writing,
        "TopicAuthorizationFailedError",
        librdkafka="Topic authorization failed",
    ),
    "events that are too large": Trouble(
        limit_messages(100),
        limit_messages(2**20),
        "MessageSizeTooLargeError",
        retried=True,
        librdkafka="Message size too large",
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
def test_a_halt_until_it_is_fixed(deployment: Deployment, trouble: Trouble) -> None:
    """The writer halts and names the cause; it loses, rejects and acknowledges nothing."""
    deployment.feed(RECORDS)
    trouble.begins(deployment)
    consumer = deployment.consume(1, limits__retry_seconds=4, limits__publish_seconds=1)
    assert consumer.exit_code() == 69
    assert trouble.said_by(deployment.client) in consumer.printed()
    retries = consumer.printed().count("; attempt ")
    assert retries or not trouble.retried
    trouble.ends(deployment)
    assert deployment.violations(kills=1 + retries, finished=False) == []
    deployment.drain()
    assert deployment.violations(kills=1 + retries) == []


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


def test_the_disk_is_full(small_disk: Path, deployment: Deployment) -> None:
    """A full disk halts the writer; when there is space again, it continues without a loss."""
    for (name,) in deployment.rows("SELECT inhrelid::regclass::text FROM pg_inherits"):
        deployment.rows(f"ALTER TABLE {name} SET TABLESPACE small")
    fill(balloon := small_disk / "balloon")
    deployment.feed(RECORDS)
    consumer = deployment.consume(1)
    assert consumer.exit_code() == 69
    assert "53100" in consumer.printed()
    assert deployment.violations(finished=False) == []
    balloon.unlink()
    deployment.drain()
    assert deployment.violations() == []


def fill(balloon: Path) -> None:
    with suppress(OSError), balloon.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.parametrize(
    "ahead",
    [
        pytest.param(-timedelta(hours=1), id="an hour back"),
        pytest.param(timedelta(days=40), id="40 days ahead", marks=pytest.mark.faults),
    ],
)
def test_the_clock_is_wrong(deployment: Deployment, ahead: timedelta) -> None:
    """A clock that is not the database's halts the writer before it writes anything."""
    deployment.feed(100)
    wrong = deployment.consume(1, test_clock=ahead.total_seconds())
    assert wrong.exit_code() == 69
    assert "correct the clock" in wrong.printed()
    assert deployment.number("SELECT count(*) FROM write.idempotency") == 0
    deployment.drain()
    assert deployment.violations() == []


def test_a_node_id_is_taken(deployment: Deployment) -> None:
    """A second process with the same node id does not start; the first one continues."""
    first = busy(deployment)
    second = deployment.consume(1, "--exit-eof", "--source", "kafka://127.0.0.1:1")
    assert second.exit_code() == 78
    assert "node id 1 is taken" in second.printed()
    first.send(signal.SIGTERM)
    assert first.exit_code() == 0
    deployment.drain()
    assert deployment.violations() == []


@pytest.mark.faults
def test_a_node_id_is_lost(deployment: Deployment) -> None:
    """A process that loses its lease writes nothing more under that node id."""
    consumer = busy(deployment, limits__retry_seconds=2)
    with connected(deployment.database.superuser) as other:
        other.run(  # in one statement: the process must not be the first to connect again
            f"""
            DO $$ BEGIN
                PERFORM pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE usename = 'voltpay_writer' AND datname = current_database();
                PERFORM pg_advisory_lock({NODE_LOCKS}, 1);
            END $$
            """
        )
        written = deployment.written_by(1)
        assert consumer.exit_code() == 69
        assert "node id 1 is taken" in consumer.printed()
        assert deployment.written_by(1) == written
    deployment.drain()
    assert deployment.violations(kills=1) == []


def test_offsets_move_back(deployment: Deployment) -> None:
    """Records that are read again from the beginning change no row and publish no event."""
    deployment.feed(RECORDS)
    deployment.drain()
    before = deployment.history()
    deployment.move_offsets_back()
    again = deployment.drain()
    after = deployment.history()
    assert (again["written"], again["dead_letters"], again["events"]) == (0, 0, 0)
    assert again["duplicates"] == RECORDS
    assert (after.tables.core, after.published) == (before.tables.core, before.published)
    assert violations(after) == []


def test_the_input_topic_is_deleted(deployment: Deployment) -> None:
    """The writer waits for it, then ends; it reads all records of a topic that is created again."""
    deployment.feed(200)
    consumer = deployment.consume(1, limits__retry_seconds=4)
    eventually(lambda: deployment.lag() == 0)
    delete_topic("writer")(deployment)
    assert consumer.exit_code() == 69
    told = consumer.printed().splitlines()
    assert f"Kafka has no topic {deployment.topics.writer}; voltpay topics create" in told[-1]
    assert len(told) < 40
    deployment.make_topics()
    deployment.feed(200, seed=SEED + 1)
    done = deployment.drain()
    assert done["written"] + done["duplicates"] + done["dead_letters"] + done["warm_ups"] == 200


def expire_halves(deployment: Deployment) -> dict[Partition, int]:
    """Delete the older half of each partition, and return the new beginnings."""
    with closing(deployment.admin()) as admin:
        begins = {place: end // 2 for place, end in deployment.group.ends(admin).items()}
        before = {TopicPartition(p.topic, p.number): n for p, n in begins.items()}
        eventually(partial(_are_deleted, admin, before))
    return begins


def _are_deleted(admin: KafkaAdminClient, before: Mapping[TopicPartition, int]) -> bool:
    """Whether all replicas have deleted the records before these offsets in time."""
    try:
        admin.delete_records(before)
    except RequestTimedOutError:
        return False
    return True


def test_records_expire_unread(deployment: Deployment) -> None:
    """The writer reports the number of expired records, and continues only with --skip-expired."""
    deployment.feed(RECORDS)
    assert deployment.consume(1, "--max-messages", "500").exit_code() == 0
    before = deployment.history()
    begins = expire_halves(deployment)
    halted = deployment.consume(2)
    assert halted.exit_code() == 69
    assert any(
        f"{begins[place] - offset} records of {place} expired before they were read"
        in halted.printed()
        for place, offset in before.acknowledged.items()
    )
    deployment.drain("--skip-expired")
    after = deployment.history()
    read = [
        record
        for record in before.produced
        if record.offset
        < min(before.acknowledged.get(record.partition, 0), begins[record.partition])
    ]
    assert len(read) < sum(begins.values())
    assert violations(evolve(after, produced=[*read, *after.produced])) == []


@pytest.mark.faults
def test_the_first_records_expire_unread(deployment: Deployment) -> None:
    """A partition that was watched while it was empty does not lose its first records unnoticed."""
    watcher = deployment.consume(1)
    watcher.wait_for(lambda: "took over" in watcher.printed(), seconds=PATIENCE)
    watcher.send(signal.SIGTERM)
    assert watcher.exit_code() == 0
    deployment.feed(RECORDS)
    expire_halves(deployment)
    halted = deployment.consume(1, "--exit-eof")
    assert halted.exit_code() == 69
    assert "expired before they were read" in halted.printed()
