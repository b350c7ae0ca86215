"""The example services on real Kafka and PostgreSQL."""

import secrets
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from email.message import Message as EmailMessage
from pathlib import Path

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message
from attrs import astuple, define, field
from tests.harness.databases import Database, connected
from tests.harness.deployment import eventually
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import ROOT
from tests.harness.stack.processes import free_ports

from voltpay_adapters.kafka import KafkaConnection, KafkaPublisher
from voltpay_adapters.kafka.browsing import browse
from voltpay_adapters.kafka.topics import Topic, create
from voltpay_core import ProducerRecord, Topics


def command(name: str, *arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]


def example(name: str, *arguments: object) -> str:
    """What an example prints, having ended well."""
    ended = subprocess.run(
        command(name, *arguments), capture_output=True, check=False, text=True, timeout=90
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@define
class Inbox(Message):
    """A mail server's handler that keeps what it gets."""

    mails: list[tuple[str, str]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        super().__init__()

    def handle_message(self, message: EmailMessage) -> None:
        self.mails.append((message["To"], message["Subject"]))


@pytest.fixture
def inbox() -> Iterator[tuple[Inbox, int]]:
    inbox, (port,) = Inbox(), free_ports(1)
    server = Controller(inbox, hostname="127.0.0.1", port=port)
    server.start()
    yield inbox, port
    server.stop()


def test_four_services_handle_a_payment_once(
    kafka: KafkaAddress,
    migrated_database: Database,
    tmp_path: Path,
    inbox: tuple[Inbox, int],
) -> None:
    """A payment that is produced twice is written once, read once and mailed once."""
    connection, topics = KafkaConnection.parse(kafka.url), Topics()
    create(connection, [Topic(name, 2, 2, {}) for name in astuple(topics)])
    account, token = 10**9 + secrets.randbelow(10**9), secrets.token_hex(4)
    payment = ("--account", account, "--amount", "12.50", "--message-id", f"order-{token}")
    for _ in range(2):
        told = example("producer.py", kafka.url, *payment)
        assert told == f"produced order-{token}\n"

    group = ("--group", f"writer-{token}", "--exit-eof")
    assert "written=" in example("embedded_writer.py", kafka.url, migrated_database.writer, *group)
    with connected(migrated_database.superuser) as rows:
        sql = "SELECT amount::text FROM write.payment_core WHERE account_id = :account"
        assert rows.run(sql, account=account) == [["12.500000"]]

    repeat(connection, topics.read, account)
    reader = ("--database", tmp_path / "reader.db", "--group", f"reader-{token}", "--exit-eof")
    assert "1 repeated" in example("reader.py", kafka.url, *reader)
    with closing(sqlite3.connect(tmp_path / "reader.db")) as database:
        found = database.execute("SELECT amount FROM payment WHERE account = ?", (account,))
        assert found.fetchall() == [("12.50",)]

    repeat(connection, topics.email, account)
    mails, port = inbox
    emails = ("--database", tmp_path / "emails.db", "--group", f"emails-{token}")
    service = subprocess.Popen(command("email_service.py", kafka.url, f"127.0.0.1:{port}", *emails))
    try:
        mine = (f"{account}@voltpay.example", "Your payment of 12.50 EUR")
        eventually(lambda: mine in mails.mails)
        eventually(lambda: acknowledged(kafka, f"emails-{token}", topics.email))
        assert mails.mails.count(mine) == 1
    finally:
        service.terminate()
        service.wait(30)


def repeat(connection: KafkaConnection, topic: str, account: int) -> None:
    """Publish an account's event again, as a writer does after a crash."""
    key = str(account).encode()
    events = [
        ProducerRecord(topic, record.key, record.value, record.headers, record.partition.number)
        for record in browse(connection, topic)
        if record.key == key
    ]
    assert len(events) == 1
    with closing(KafkaPublisher(connection)) as publisher:
        publisher.publish(events).wait()


def acknowledged(kafka: KafkaAddress, group: str, topic: str) -> bool:
    """Whether the group has acknowledged everything that is in the topic."""
    return not list(browse(KafkaConnection.parse(kafka.url), topic, group))
