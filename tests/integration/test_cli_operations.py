"""The operator's commands on real Kafka and real PostgreSQL."""

import json
import os
import pty
import secrets
import socket
import subprocess
import sys
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from kafka.admin import ConfigResource, ConfigResourceType
from tests.harness.cli import start, voltpay
from tests.harness.databases import Database, connected
from tests.harness.deployment import eventually
from tests.harness.history import KafkaGroup, read_topic
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import jars

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.postgres.inspection import PAYMENT_TABLES
from voltpay_adapters.postgres.resources import changeset_ids
from voltpay_cli.settings.loading import load
from voltpay_cli.wiring import Wiring
from voltpay_core.codec import Topics
from voltpay_core.events import ReadEvent

by_either_client = pytest.mark.parametrize("stack", ["kafka-python", "confluent"], indirect=True)


@pytest.fixture
def stack(
    request: pytest.FixtureRequest,
    kafka: KafkaAddress,
    migrated_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Database:
    """Topics of this test's own, a migrated database, and the settings that lead to both."""
    token = secrets.token_hex(4)
    settings = {
        "SOURCE": kafka.url,
        "STORE": migrated_database.writer,
        "GROUP": f"group-{token}",
        "KAFKA_CLIENT": getattr(request, "param", "kafka-python"),
        "TOPICS_PARTITIONS": "3",
        "DATABASE_MIGRATOR": migrated_database.migrator,
        "DATABASE_SUPERUSER": migrated_database.superuser,
        "DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
        **{
            f"TOPICS_{topic}": f"{topic.lower()}-{token}"
            for topic in ("WRITER", "READ", "EMAIL", "DEAD_LETTER")
        },
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"VOLTPAY_{name}", value)
    monkeypatch.chdir(tmp_path)
    assert printed("topics", "create").count("created ") == 4
    return migrated_database


def printed(*arguments: str, code: int = 0) -> str:
    """What a command prints on stdout, having ended with that exit code."""
    result = voltpay(*arguments)
    assert result.exit_code == code, result.output
    return result.stdout


def audited(*arguments: str) -> str:
    """What a command prints on stdout, having left one audit line in the log."""
    result = voltpay(*arguments)
    assert result.exit_code == 0, result.output
    assert result.stderr.count(f": voltpay {' '.join(arguments[:2])} ") == 1, result.stderr
    return result.stdout


def consumed() -> dict[str, int]:
    found: dict[str, int] = json.loads(
        printed("consume", "--exit-eof", "--timeout", "60", "--output", "json")
    )
    return found


def alter(topic: str, configuration: Mapping[str, str]) -> None:
    """Alter settings of the topic that this variable names."""
    resource = ConfigResource(
        ConfigResourceType.TOPIC, os.environ[f"VOLTPAY_TOPICS_{topic}"], configs=configuration
    )
    with closing(connection().admin()) as admin:
        admin.alter_configs([resource])
        name = resource.name
        eventually(lambda: configuration.items() <= dynamic(name).items())


def dynamic(topic: str) -> dict[str, str]:
    """What is set on the topic itself."""
    resource = ConfigResource(ConfigResourceType.TOPIC, topic)
    with closing(connection().admin()) as admin:
        described = admin.describe_configs([resource])["topic"][topic]
    return {
        name: entry["value"]
        for name, entry in described.items()
        if entry["config_source"] == "DYNAMIC_TOPIC_CONFIG"
    }


def connection() -> KafkaConnection:
    return KafkaConnection.parse(os.environ["VOLTPAY_SOURCE"])


def attempts() -> list[int]:
    found = json.loads(printed("dead-letter", "list", "--output", "json"))
    return sorted(letter["attempt"] for letter in found["letters"])


@by_either_client
def test_topics_are_made_once_and_checked(stack: Database) -> None:
    """Existing topics are not changed, and differences from the settings are reported."""
    assert printed("topics", "create") == "all topics are there\n"
    assert printed("topics", "check") == "all topics are as they should be\n"
    told = printed("topics", "check", "--partitions", "4", code=78)
    assert told.count("has 3 partitions, not 4") == 4


def test_new_topics_depend_on_no_default_of_the_brokers(stack: Database) -> None:
    """Every setting on which a guarantee rests is set on the topic itself."""
    for topic in Wiring(settings=load({}).settings).topics().policy.expected_topics():
        for required in topic.requirements:
            if required.value is not None:
                assert dynamic(topic.name)[required.name] == required.value


@by_either_client
def test_whatever_endangers_a_guarantee_is_reported(stack: Database) -> None:
    """Each wrong setting of each topic is a difference for both checks, with what it endangers."""
    wrong = {
        "cleanup.policy": "compact",
        "retention.bytes": "1073741824",
        "unclean.leader.election.enable": "true",
        "min.insync.replicas": "1",
    }
    for name in ("WRITER", "READ", "EMAIL", "DEAD_LETTER"):
        alter(name, wrong | {"retention.ms": "1000", "max.message.bytes": "1000"})
    told = printed("topics", "check", code=78)
    for setting, value in wrong.items():
        assert told.count(f" has {setting}={value}, not ") == 4
    assert told.count("has retention.ms=1000, not at least ") == 4
    assert told.count("has max.message.bytes=1000, not at least ") == 3
    assert printed("check", code=78).count("FAIL topics: ") == len(told.splitlines())
    assert "(G6)" in told
    assert "(G2)" in told


def test_dead_letters_fit_whatever_the_input_topic_takes(stack: Database) -> None:
    """The dead-letter topic is created and checked by the size that the input topic accepts."""
    alter("WRITER", {"max.message.bytes": "5000000"})
    assert "not at least 5016384: " in printed("topics", "check", code=78)
    flags = {"VOLTPAY_TOPICS_DEAD_LETTER": f"larger-{secrets.token_hex(4)}"}
    assert voltpay("topics", "create", env=flags).exit_code == 0
    made = dynamic(flags["VOLTPAY_TOPICS_DEAD_LETTER"])
    assert made["max.message.bytes"] == "5016384"


@pytest.mark.parametrize("topic", ["WRITER", "DEAD_LETTER"])
def test_a_topic_that_loses_payments_stops_the_start(topic: str, stack: Database) -> None:
    """Nothing is consumed from or beside a topic that is compacted, until it is no longer."""
    printed("produce", "--count", "10", "--seed", "1")
    alter(topic, {"cleanup.policy": "compact,delete"})
    refused = voltpay("consume", "--exit-eof", "--timeout", "60")
    assert refused.exit_code == 78
    assert "has cleanup.policy=compact,delete, not delete: compaction deletes" in refused.stderr
    alter(topic, {"cleanup.policy": "delete"})
    assert consumed()["written"] == 10


@by_either_client
def test_a_topic_that_may_lose_records_is_a_warning(stack: Database) -> None:
    """If records may be lost, or this is not known, the start warns and continues."""
    printed("produce", "--count", "10", "--seed", "1")
    alter("WRITER", {"retention.bytes": "1073741824"})
    alter("READ", {"cleanup.policy": "compact"})
    result = voltpay("consume", "--exit-eof", "--timeout", "60")
    assert result.exit_code == 0
    assert result.stderr.count("has retention.bytes=1073741824, not -1: ") == 1
    assert result.stderr.count("has cleanup.policy=compact, not delete: ") == 1
    result = voltpay("consume", "--exit-eof", env={"VOLTPAY_TOPICS_EMAIL": "nowhere"})
    assert "nowhere is not checked: the topic does not exist, or " in result.stderr


@pytest.mark.parametrize("setting", ["retention.ms", "segment.ms"])
def test_extreme_numbers_mean_for_ever(setting: str, stack: Database) -> None:
    """If the input topic keeps records for ever, the purge rejects every age."""
    alter("WRITER", {setting: str(2**63 - 1)})
    refused = voltpay("idempotency", "purge", "--dry-run")
    assert refused.exit_code == 78
    assert "keeps records for ever" in refused.stderr
    forced = ("idempotency", "purge", "--dry-run", "--force")
    assert printed(*forced, "--older-than", "999999d") == "would delete 0 claims\n"


@by_either_client
def test_the_doctor_finds_everything_in_order(stack: Database) -> None:
    """On a stack that is made by the project's own commands every line is ok."""
    assert json.loads(printed("topics", "check", "--output", "json")) == {"differences": []}
    assert json.loads(printed("topics", "create", "--output", "json")) == {"created": []}
    told = json.loads(printed("check", "--output", "json"))
    assert told["ok"]
    lines = printed("check").splitlines()
    assert [f"ok   {each['name']}: {each['message'][:9]}" for each in told["checks"]] == [
        line[: len(line.partition(": ")[0]) + 11] for line in lines
    ]
    assert [line for line in lines if not line.startswith("ok ")] == []
    names = [line.removeprefix("ok ").split(":")[0].strip() for line in lines]
    assert names == [
        *("settings", "broker", "topics", "database", "encoding", "schema", "partitions"),
        *("privileges", "clock", "outbox"),
    ]


def test_the_doctor_names_what_is_wrong(
    stack: Database,
    bare_database: Database,
) -> None:
    """Missing topics, a missing schema and a role with too many rights have their way out."""
    result = voltpay(
        "check", env={"VOLTPAY_STORE": bare_database.superuser, "VOLTPAY_TOPICS_READ": "nowhere"}
    )
    assert result.exit_code == 78
    for words in (
        "FAIL topics: nowhere does not exist; voltpay topics create",
        "FAIL schema: does not exist; voltpay db bootstrap, then voltpay db update",
        "FAIL partitions: missing: payment_core",
        "FAIL privileges: ",
    ):
        assert words in result.stdout


@by_either_client
def test_dead_letters_go_back_and_are_counted(stack: Database) -> None:
    """A replayed letter that fails again has failed twice, and is parked at the limit."""
    printed("produce", "--count", "200", "--seed", "1", "--poison", "0.1")
    total = consumed()
    letters = total["dead_letters"]
    assert total["written"] == 200 - letters
    assert attempts() == [1] * letters

    assert "dry run" in printed("dead-letter", "replay")
    assert consumed()["dead_letters"] == 0
    assert audited("dead-letter", "replay", "--yes").count("parked 0") > 1
    assert consumed()["dead_letters"] == letters
    assert attempts() == [1] * letters + [2] * letters

    told = printed("dead-letter", "replay", "--yes", "--max-attempts", "2")
    assert "failed too often and stay" in told
    assert consumed()["dead_letters"] == 0


@by_either_client
def test_a_replay_of_one_code_skips_no_other(stack: Database) -> None:
    """Each code has positions of its own, so that letters of the others wait for their turn."""
    printed("produce", "--count", "100", "--seed", "2", "--poison", "0.4")
    consumed()
    counts: dict[str, int] = json.loads(printed("dead-letter", "list", "--output", "json"))[
        "counts"
    ]
    first, *others = counts
    assert others
    told = printed("dead-letter", "replay", "--yes", "--code", first)
    assert f"{first}: sent {counts[first]}, parked 0" in told
    left = printed("dead-letter", "replay")
    assert f"{first}: 0 to replay" in left
    for code in others:
        assert f"{code}: {counts[code]} to replay" in left


@by_either_client
def test_a_letter_is_looked_at_and_exported(stack: Database) -> None:
    """Each letter of the list is found by its place, and all can be consumed from a file."""
    printed("produce", "--count", "60", "--seed", "5", "--poison", "0.2")
    letters = consumed()["dead_letters"]
    listed = json.loads(printed("dead-letter", "list", "--since", "1h", "--output", "json"))
    assert len(listed["letters"]) == letters
    for row in listed["letters"][:3]:
        shown = json.loads(printed("dead-letter", "show", row["place"], "--output", "json"))
        assert shown == row
    topic = os.environ["VOLTPAY_TOPICS_DEAD_LETTER"]
    for gone in (f"{topic}-0@999", f"{topic}-77@0"):
        printed("dead-letter", "show", gone, code=78)
    told = audited("dead-letter", "export", "letters.jsonl", "--output", "json")
    assert json.loads(told) == {"exported": letters}
    again = printed(
        "consume", "--source", "file:letters.jsonl", "--events", os.environ["VOLTPAY_SOURCE"]
    )
    assert f"dead letters {letters}," in again
    assert attempts() == [1] * letters + [2] * letters


def test_a_limit_is_for_all_codes_together(stack: Database) -> None:
    """--limit limits the letters of one command, and the next command continues there."""
    printed("produce", "--count", "50", "--seed", "3", "--poison", "1")
    consumed()
    sent = []
    for _ in range(3):
        told = printed("dead-letter", "replay", "--yes", "--limit", "20").splitlines()
        sent.append(sum(int(line.split()[2].strip(",")) for line in told if ": sent " in line))
    assert sent == [20, 20, 10]


def test_letters_older_than_claims_are_kept_for_who_insists(
    stack: Database, kafka: KafkaAddress
) -> None:
    """Without --force no letter is replayed whose message may have been written meanwhile."""
    since = datetime.now(UTC) - timedelta(days=6, hours=1)  # a day goes to what waits in the input
    failed = {"voltpay-dlq-first-failed-at": since.isoformat()}
    Path("old.jsonl").write_text(json.dumps({"key": "1", "value": "x", "headers": failed}) + "\n")
    printed("consume", "--source", "file:old.jsonl", "--events", kafka.url)
    assert "1 of them older" in printed("dead-letter", "replay")
    refused = voltpay("dead-letter", "replay", "--yes")
    assert refused.exit_code == 78
    assert "--force" in refused.stderr
    assert "sent 1" in printed("dead-letter", "replay", "--yes", "--force")


def test_a_time_far_ahead_keeps_no_letter_back(stack: Database, kafka: KafkaAddress) -> None:
    """A poison record of whatever time becomes a dead letter, and does not block the others."""
    ahead = '{"key":"1","value":"x","timestamp":9000000000000000}'
    Path("ahead.jsonl").write_text(ahead + "\n")
    flags = ("--source", "file:ahead.jsonl", "--events", kafka.url)
    result = voltpay("consume", *flags, env={"VOLTPAY_LIMITS_RETRY_SECONDS": "1"})
    assert result.exit_code == 0, result.output
    assert attempts() == [1]


@by_either_client
def test_read_events_are_rebuilt_where_they_were(stack: Database, kafka: KafkaAddress) -> None:
    """Rebuilt events have the keys, partitions, order and event ids of the original ones."""
    printed("produce", "--count", "300", "--seed", "4", "--accounts", "20")
    assert consumed()["written"] == 300
    emails = list(read_topic(kafka.bootstrap, os.environ["VOLTPAY_TOPICS_EMAIL"]))
    assert "would publish 300 read events" in printed("events", "rebuild")
    assert printed("events", "rebuild", "--yes") == "published 300 read events\n"
    records = list(read_topic(kafka.bootstrap, os.environ["VOLTPAY_TOPICS_READ"]))
    first, again = (
        [
            (record.key or b"", record.partition, event.event_id)
            for record, event in zip(records, map(ReadEvent.decode, records), strict=True)
            if event.message_id.startswith("rebuilt:") is rebuilt
        ]
        for rebuilt in (False, True)
    )
    assert sorted(first) == sorted(again)
    for account in {key for key, *_ in first}:
        assert [each for each in first if each[0] == account] == [
            each for each in again if each[0] == account
        ]
    assert list(read_topic(kafka.bootstrap, os.environ["VOLTPAY_TOPICS_EMAIL"])) == emails


@by_either_client
def test_a_rate_bounds_a_member_of_a_group(stack: Database) -> None:
    """At a rate, all records of all partitions are consumed, in the seconds that this takes."""
    printed("produce", "--count", "250", "--seed", "7")
    flags = ("--exit-eof", "--timeout", "60", "--output", "json", "--rate", "100")
    total = json.loads(printed("consume", *flags))
    assert total["written"] == 250
    assert total["seconds"] >= 2


@by_either_client
def test_a_dry_run_leaves_the_group_alone(stack: Database, kafka: KafkaAddress) -> None:
    """A dry run counts what the group has not acknowledged, joins no group and commits nothing."""
    dry_run = ("consume", "--dry-run", "--output", "json")
    printed("produce", "--count", "200", "--seed", "5", "--poison", "0.1")
    found = json.loads(printed(*dry_run))
    assert found["payments"] + found["dead_letters"] == 200
    topics = Topics(os.environ["VOLTPAY_TOPICS_WRITER"])
    group = KafkaGroup(kafka.url, topics, os.environ["VOLTPAY_GROUP"])
    with closing(connection().admin()) as admin:
        assert group.acknowledged(admin) == {}
        assert group.members(admin) == 0
    total = consumed()
    assert (total["written"], total["dead_letters"]) == (found["payments"], found["dead_letters"])
    printed("produce", "--count", "10", "--seed", "6")
    assert json.loads(printed(*dry_run))["payments"] == 10


def test_claims_outlive_the_input_topic(stack: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """The purge asks Kafka how long the input topic keeps its records."""
    monkeypatch.setenv("VOLTPAY_LIMITS_CLAIMS_DAYS", "1")
    refused = voltpay("idempotency", "purge", "--older-than", "24h")
    assert refused.exit_code == 78
    assert "25 hours" in refused.stderr
    purge = ("idempotency", "purge", "--older-than", "25h")
    assert printed(*purge) == "deleted 0 claims\n"
    assert printed(*purge, "--dry-run") == "would delete 0 claims\n"


def test_warm_ups_go_to_the_input_topic_and_end_there(stack: Database) -> None:
    """A consumer warms its path by records that become nothing, and stops in time."""
    total = json.loads(printed("consume", "--timeout", "10", "--output", "json"))
    assert total == {**total, "warm_ups": 3, "written": 0, "dead_letters": 0, "events": 0}


def test_the_database_commands_use_the_migrator(stack: Database) -> None:
    """The schema is cared for as the migrator and the superuser, whatever the store's role is."""
    for command in ("bootstrap", "clear-checksums", "update"):
        audited("db", command)
    for command in ("validate", "status", "history"):
        printed("db", command)
    assert "payment_core" in printed("db", "maintain")
    months = json.loads(printed("db", "maintain", "--output", "json"))["partitions"]
    assert {month["table"] for month in months} == set(PAYMENT_TABLES)
    assert json.loads(printed("db", "status", "--output", "json")) == {
        "schema": changeset_ids()[-1],
        "pending": [],
    }
    audited("db", "rollback", "--count", "1", "--yes")
    assert json.loads(printed("db", "status", "--output", "json"))["pending"] == [
        changeset_ids()[-1]
    ]
    told = json.loads(printed("db", "history", "--output", "json"))["changesets"]
    assert [each["changeset"] for each in told] == list(changeset_ids()[:-1])
    assert datetime.fromisoformat(told[0]["at"]).tzinfo is not None
    assert "FAIL schema" in printed("check", code=78)
    printed("db", "update")
    printed("check")
    assert "held by nobody" in audited("db", "release-locks")
    refused = voltpay("db", "bootstrap", env={"VOLTPAY_DATABASE_SUPERUSER": stack.writer})
    assert refused.exit_code == 69


ROLLBACK = ("db", "rollback", "--count", "11")  # the claims are dropped, and all that came later


def tables(database: Database) -> list[list[str]]:
    with connected(database.superuser) as connection:
        found: list[list[str]] = connection.run(
            "SELECT relname FROM pg_class WHERE relnamespace = 'write'::regnamespace"
            " AND relkind IN ('r', 'p') ORDER BY 1"
        )
    return found


def answered(answer: str) -> "subprocess.CompletedProcess[str]":
    """A rollback at a terminal, where a person gives this answer."""
    ours, theirs = pty.openpty()
    os.write(ours, answer.encode())
    try:
        return subprocess.run(
            [sys.executable, "-m", "voltpay_cli", *ROLLBACK],
            stdin=theirs,
            capture_output=True,
            check=False,
            text=True,
        )
    finally:
        os.close(ours)
        os.close(theirs)


def test_a_rollback_asks_before_it_drops_anything(stack: Database) -> None:
    """It names each table with its rows, asks a person, and does nothing without an answer."""
    printed("produce", "--count", "7", "--seed", "1")
    consumed()
    before = tables(stack)
    refused = voltpay(*ROLLBACK)
    assert refused.exit_code == 78
    assert "there is no terminal to ask whether to do this: --yes does it" in refused.stderr
    assert "014: REVOKE ALL ON write.databasechangelog" in refused.stdout
    assert "005: drops write.idempotency (7 rows)" in refused.stdout
    for answer in ("n\n", "\x04"):
        denied = answered(answer)
        assert denied.returncode == 75, denied.stderr
        assert "nothing was undone" in denied.stderr
    assert tables(stack) == before
    agreed = answered("y\n")
    assert agreed.returncode == 0, agreed.stderr
    assert "audit: " in agreed.stderr
    assert "idempotency" not in str(tables(stack))
    assert "payment_core" in str(tables(stack))


def test_an_update_can_be_read_before_it_is_run(
    stack: Database,
    bare_database: Database,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """With --sql the statements are printed, and the database stays as it was."""
    monkeypatch.setenv("VOLTPAY_DATABASE_MIGRATOR", bare_database.migrator)
    before = tables(bare_database)
    capfd.readouterr()
    assert voltpay("db", "update", "--sql").exit_code == 0
    assert "CREATE TABLE write.payment_core" in capfd.readouterr().out
    assert tables(bare_database) == before


def test_liquibase_is_named_after_its_command(stack: Database, tmp_path: Path) -> None:
    """The sessions of Liquibase, too, say which command they serve, and on which host."""
    named = set()
    with start("db", "history", cwd=tmp_path) as history, connected(stack.superuser) as connection:
        while history.poll() is None:
            rows = connection.run(
                "SELECT application_name, pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND usename = 'voltpay_migrator'"
            )
            named |= {tuple(row) for row in rows}
        history.communicate()
    assert {name for name, _ in named} == {f"voltpay:db-history:{socket.gethostname()}"}
    assert len(named) > 1  # the program's own session, and that of Liquibase


def test_sessions_are_named_after_their_commands(stack: Database, tmp_path: Path) -> None:
    """A session says which command it serves, under which node id, and on which host."""
    flags = ("--source", "file:-", "--events", "file:out", "--node-id", "123")
    with connected(stack.superuser) as connection:
        consumer = start("consume", *flags, cwd=tmp_path)
        try:
            eventually(
                lambda: (
                    connection.run(
                        "SELECT application_name FROM pg_stat_activity"
                        " WHERE datname = current_database() AND usename = 'voltpay_writer'"
                    )
                    == [[f"voltpay:consume:123:{socket.gethostname()}"]]
                )
            )
        finally:
            consumer.communicate()
