"""The guides for bad days do what they say: Kafka's own tools run their commands."""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer
from tests.harness.cli import start, voltpay
from tests.harness.databases import MIGRATOR_PASSWORD, WRITER_PASSWORD, Database, connected
from tests.harness.documents import blocks
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import jars, java
from tests.harness.stack.postgres import PostgresAddress
from tests.integration.test_cli_operations import consumed, printed, stack
from tests.integration.test_kafka import Header

from voltpay_adapters.postgres.bootstrap import bootstrap
from voltpay_adapters.postgres.urls import DatabaseUrl

__all__ = ["stack"]

TOOLS = {
    "kafka-console-consumer.sh": "org.apache.kafka.tools.consumer.ConsoleConsumer",
    "kafka-consumer-groups.sh": "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
}


def run_guide(document: str, tool: str, told: Mapping[str, str]) -> str:
    """Run the command of a guide with other values for these options; what it printed."""
    (command,) = (
        command
        for block in blocks("console")
        if block.document.stem == document
        for command in block.commands
        if command[0] == tool
    )
    for option, value in told.items():
        command[command.index(option) + 1] = value
    program = [java(), "-cp", f"{jars('kafka')}/*", TOOLS[tool], *command[1:]]
    ended = subprocess.run(program, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def payments(database: str) -> int:
    with connected(database) as connection:
        ((count,),) = connection.run("SELECT count(*) FROM write.payment_core")
    return int(count)


def test_an_unreadable_record_is_stepped_over(stack: Database, kafka: KafkaAddress) -> None:
    """The record is kept by Kafka's own consumer, and the others are written."""
    topic = os.environ["VOLTPAY_TOPICS_WRITER"]
    printed("produce", "--count", "20", "--seed", "1")
    with closing(KafkaProducer(bootstrap_servers=kafka.bootstrap)) as producer:
        sent = producer.send(
            topic, b"broken", key=b"1", partition=1, headers=[(Header("h"), b"")]
        ).get(30)
    printed("produce", "--count", "20", "--seed", "2")
    halted = voltpay("consume", "--exit-eof", "--timeout", "60")
    assert halted.exit_code == 69
    assert f"cannot read or decompress {topic}-1@{sent.offset} " in halted.stderr

    told = {"--bootstrap-server": kafka.bootstrap}
    place = {"--topic": topic, "--partition": "1", "--offset": str(sent.offset)}
    guide = "step-over-a-record"
    assert "broken" in run_guide(guide, "kafka-console-consumer.sh", told | place)
    moved = {
        "--group": os.environ["VOLTPAY_GROUP"],
        "--topic": f"{topic}:1",
        "--to-offset": str(sent.offset + 1),
    }
    run_guide(guide, "kafka-consumer-groups.sh", told | moved)
    consumed()
    assert payments(stack.writer) == 40


def test_a_backup_is_restored_and_filled_up(
    stack: Database,
    kafka: KafkaAddress,
    postgres: PostgresAddress,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was committed after the backup is written again, and nothing that it holds is."""
    printed("produce", "--count", "40", "--seed", "1")
    assert consumed()["written"] == 40
    backup = f"{stack.name}_restored"
    postgres.run_sql(f'CREATE DATABASE "{backup}" TEMPLATE "{stack.name}"')
    try:
        printed("produce", "--count", "25", "--seed", "2")
        assert consumed()["written"] == 25
        restored = stack.writer.replace(stack.name, backup)
        monkeypatch.setenv("VOLTPAY_STORE", restored)
        assert consumed()["written"] == 0
        assert payments(restored) == 40

        with connected(restored) as connection:
            ((since,),) = connection.run(
                "SELECT max(created_at) AT TIME ZONE 'UTC' - interval '1 hour'"
                " FROM write.payment_core"
            )
        told = {
            "--bootstrap-server": kafka.bootstrap,
            "--group": os.environ["VOLTPAY_GROUP"],
            "--topic": os.environ["VOLTPAY_TOPICS_WRITER"],
            "--to-datetime": since.isoformat(timespec="milliseconds"),
        }
        run_guide("restore-a-backup", "kafka-consumer-groups.sh", told)
        again = consumed()
        assert (again["written"], again["duplicates"]) == (25, 40)
        assert payments(restored) == payments(stack.writer) == 65
    finally:
        postgres.drop_database(backup)


@contextmanager
def original_passwords(database: Database) -> Iterator[None]:
    """Set the passwords of the roles, which all databases share, as other tests know them."""
    try:
        yield
    finally:
        bootstrap(
            DatabaseUrl.parse(database.superuser),
            migrator_password=MIGRATOR_PASSWORD,
            writer_password=WRITER_PASSWORD,
        )


def test_a_password_is_rotated_under_a_running_writer(
    stack: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An open session outlives the change, the next start reads the file, and nothing is lost."""
    secret = tmp_path / "password"
    secret.write_text(WRITER_PASSWORD)
    url = DatabaseUrl.parse(stack.writer)
    (host,) = url.hosts
    monkeypatch.setenv("VOLTPAY_STORE", f"postgresql://{url.user}@{host}/{url.database}")
    monkeypatch.setenv("VOLTPAY_DATABASE_PASSWORD_FILE", str(secret))
    monkeypatch.setenv("VOLTPAY_EVENTS", "file:out")
    line = (
        '{"messageId":"%s","accountId":1,"amount":"1","currency":"EUR","status":2,"type":"VSA"}\n'
    )
    with original_passwords(stack), ExitStack() as ended:
        writer = ended.enter_context(start("consume", "--source", "file:-", cwd=tmp_path))
        ended.callback(writer.kill)
        assert writer.stdin is not None
        writer.stdin.write(line % "before")
        writer.stdin.flush()
        while not payments(stack.superuser):
            assert writer.poll() is None
        secret.write_text("the next: ü/@")
        printed("db", "bootstrap")
        printed("check", "--source", f"file:{secret}")
        _, told = writer.communicate(line % "after")
        assert writer.returncode == 0, told
        assert payments(stack.superuser) == 2
        secret.write_text(WRITER_PASSWORD)
        assert voltpay("check").exit_code == 69
