"""Secrets and contents of payments stay where they belong; canaries would sing elsewhere."""

import logging
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest
from attrs import evolve
from pg8000.exceptions import DatabaseError
from tests.harness.canary import PASSWORD, PAYMENT, leaks, records, told_by_letters
from tests.harness.cli import LOCAL, voltpay

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.local.files import PaymentFilePublisher, read_events
from voltpay_adapters.postgres.error_mapping import translate_errors
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.private_tracebacks import traceback_without_messages
from voltpay_adapters.text_files import read_secret
from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.settings.loading import load
from voltpay_core.codec import Codec
from voltpay_core.errors import Misconfigured, Rejected
from voltpay_core.records import ProducerRecord

pytestmark = pytest.mark.usefixtures("folder")

URL = f"postgresql://user:{PASSWORD}@127.0.0.1:1/database"
CRASH = """
def crash(wire, record):
    try:
        raise KeyError(record.value)
    except KeyError:
        raise ValueError(f"cannot {record.value}")
"""
IN_THE_MAIN_THREAD = """
from voltpay_core.codec import Codec
Codec.decode = crash
"""
IN_ANOTHER_THREAD = """
from threading import Thread
from voltpay_core.codec import Codec
decode = Codec.decode
def decode_beside_a_crash(wire, record):
    thread = Thread(target=crash, args=(wire, record))
    thread.start()
    thread.join()
    return decode(wire, record)
Codec.decode = decode_beside_a_crash
"""
IN_A_DESTRUCTOR = """
from voltpay_core.codec import Codec
decode = Codec.decode
class Doomed:
    def __del__(self):
        crash(*self.arguments)
def decode_beside_a_crash(wire, record):
    Doomed().arguments = wire, record
    return decode(wire, record)
Codec.decode = decode_beside_a_crash
"""
RUN = """
from voltpay_cli.app import main
main()
"""


def refused_by_the_database() -> ProducerRecord:
    refused = evolve(PAYMENT, message_id="canary-refused", account_id=4711)
    return ProducerRecord("payment_writer_topic", b"4711", Codec().encode_payment(refused))


def fed(*more: ProducerRecord) -> None:
    with closing(PaymentFilePublisher("in.jsonl")) as payments:
        payments.publish([*records(Codec()), *more])


def ended(*arguments: str, program: Sequence[str] = ("-m", "voltpay_cli"), code: int = 0) -> str:
    """All that a program of its own prints, logging as much as it can."""
    done = subprocess.run(
        [sys.executable, *program, *arguments],
        env=os.environ | {"VOLTPAY_LOG_LEVEL": "debug"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_no_payment_is_in_any_output() -> None:
    """Logs, summaries, reasons and lists show nothing of poison and rejected payments."""
    ended("consume", *LOCAL, "--source", "file:-")  # makes the tables
    with closing(sqlite3.connect("voltpay.db")) as connection:
        connection.execute(
            "CREATE TRIGGER refuse BEFORE INSERT ON payment_core WHEN NEW.account_id = 4711"
            " BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
    fed(refused_by_the_database())
    printed = ended("consume", *LOCAL, "--dry-run")
    printed += ended("consume", *LOCAL)
    assert "written 1" in printed
    printed += ended("events", "rebuild", *LOCAL[2:], "--yes")
    assert "published 1 " in printed
    printed += ended("dead-letter", "list", *LOCAL[:2], *LOCAL[4:])
    printed += ended("dead-letter", "list", "--output", "json", *LOCAL[4:])
    printed += ended("dead-letter", "show", "payment_writer_dlq-0@0", *LOCAL[4:])
    assert "refused-by-database" in printed
    assert leaks(printed) == []
    letters = read_events(Path("out/payment_writer_dlq.jsonl"))
    assert len(letters) == len(records(Codec()))  # all but the good one, and the refused one
    assert leaks(told_by_letters(letters)) == []


@pytest.mark.parametrize(
    ("place", "code"),
    [(IN_THE_MAIN_THREAD, 1), (IN_ANOTHER_THREAD, 0), (IN_A_DESTRUCTOR, 0)],
    ids=["main thread", "other thread", "destructor"],
)
def test_a_crash_tells_where_it_was_and_nothing_of_the_payment(place: str, code: int) -> None:
    """A bug shows the lines that it went through, and nothing of what its exceptions say."""
    fed()
    printed = ended("consume", *LOCAL, program=("-c", CRASH + place + RUN), code=code)
    told = re.sub(r"(in crash\n) .*\n", r"\1", printed)  # from 3.13 on with the line itself
    assert "in crash\nbuiltins.KeyError\n\nthen:\n\nTraceback" in told
    assert "in crash\nbuiltins.ValueError\nvoltpay: a bug" in told
    assert leaks(printed) == []


def test_a_logged_failure_has_no_words(capsys: pytest.CaptureFixture[str]) -> None:
    """What a library logs of its own failure keeps the lines and loses the words."""
    log_to_stderr("debug")
    try:
        int(PASSWORD)
    except ValueError:
        logging.getLogger("kafka.net").exception("Unhandled exception in task")
    told = capsys.readouterr().err
    assert "ERROR Unhandled exception in task\nTraceback" in told
    assert "builtins.ValueError" in told
    assert leaks(told) == []


def test_the_kafka_clients_frames_are_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    """At its debug level the Kafka client logs what it sends, passwords included: never here."""
    log_to_stderr("debug")
    logging.getLogger("kafka.protocol.parser").debug("Send: %r", PASSWORD)
    assert capsys.readouterr().err == ""


def test_a_rejected_row_is_in_no_chain_of_causes() -> None:
    """PostgreSQL's DETAIL prints whole rows: what comes of it does not lead there."""
    refusal = {
        "C": "23514",
        "n": "positive",
        "M": "violates",
        "D": "Failing row has canary-comment",
    }
    with pytest.raises(Rejected) as caught, translate_errors("here"):
        raise DatabaseError(refusal)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert leaks(traceback_without_messages(caught.value) + repr(caught.value)) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("STORE", URL),
        ("DATABASE_MIGRATOR", URL),
        ("DATABASE_SUPERUSER", URL),
        ("DATABASE_PASSWORD", PASSWORD),
        ("DATABASE_MIGRATOR_PASSWORD", PASSWORD),
        ("KAFKA_PASSWORD", PASSWORD),
        ("KAFKA_OPTIONS", f"ssl.password={PASSWORD},proxy_url=http://me:{PASSWORD}@proxy:1"),
    ],
)
def test_no_secret_is_in_the_settings_output(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever a password may stand, neither `config show`, the doctor nor a repr show it."""
    monkeypatch.setenv("VOLTPAY_SOURCE", "kafka://127.0.0.1:1")
    monkeypatch.setenv("VOLTPAY_KAFKA_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv(f"VOLTPAY_{name}", value)
    shown = voltpay("config", "show").output
    assert "***" in shown
    assert leaks(shown + voltpay("config", "show", "--output", "json").output) == []
    assert leaks(repr(load({}))) == []


def test_no_secret_is_in_a_connection_error() -> None:
    """A database that cannot be reached is named without the password, by every command."""
    env = {"VOLTPAY_STORE": URL, "VOLTPAY_LIMITS_RETRY_SECONDS": "0", "VOLTPAY_LOG_LEVEL": "debug"}
    fed()
    for command in ("consume", "check", "db bootstrap", "db maintain"):
        urls = (*LOCAL[:2], *LOCAL[4:]) if command in {"consume", "check"} else ()
        result = voltpay(*command.split(), *urls, env=env)
        assert result.exit_code == 69
        assert "user@127.0.0.1:1/database" in result.output
        assert leaks(result.output) == []


def test_connections_keep_their_secrets() -> None:
    """What holds a password does not print it, nor does a URL that cannot be read."""
    kafka = KafkaConnection.parse("kafka://h:1", {"sasl_plain_password": PASSWORD})
    assert leaks(f"{kafka!r} {DatabaseUrl.parse(URL)!r}") == []
    with pytest.raises(Misconfigured) as caught:
        KafkaConnection.parse(f"kafka://me:{PASSWORD}@h:1")
    assert leaks(str(caught.value)) == []


@pytest.mark.parametrize(
    "option", [f"ssl.password={PASSWORD}", f"proxy_url=http://me:{PASSWORD}@p:1"]
)
def test_no_secret_is_taken_from_the_command_line(option: str) -> None:
    """An option with a password is rejected where everybody can read it, and not repeated."""
    result = voltpay("config", "show", "-X", option)
    assert result.exit_code == 78
    assert "everybody on this machine can read" in result.stderr
    assert leaks(result.output) == []


@pytest.mark.parametrize(
    "content", [b"p\xc3\xa9 ", b"\xef\xbb\xbfp\xc3\xa9 ", b"p\xc3\xa9 \n", b"p\xc3\xa9 \r\n"]
)
def test_a_secret_is_what_its_file_says(content: bytes) -> None:
    """Neither a byte order mark nor the end of the line is part of a secret; spaces are."""
    Path("secret").write_bytes(content)
    assert read_secret(None, "secret", "kafka.password") == "p\xe9 "


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1"])
def test_a_secret_is_in_utf_8(encoding: str) -> None:
    """A secret in another encoding is rejected, and not shown."""
    Path("secret").write_bytes(f"{PASSWORD}\xe9".encode(encoding))
    with pytest.raises(Misconfigured) as caught:
        read_secret(None, "secret", "kafka.password")
    assert str(caught.value) == (
        "kafka.password_file: cannot read secret: save it as text in UTF-8"
    )


def test_secrets_come_from_files() -> None:
    """A password in a file is used and not shown; a file that cannot be read is named."""
    Path("secret").write_text(PASSWORD + "\n")
    env = {"VOLTPAY_DATABASE_PASSWORD_FILE": "secret"}
    assert leaks(voltpay("config", "show", env=env).output) == []
    fed()
    env = {**env, "VOLTPAY_STORE": "postgresql://u@127.0.0.1:1/d"}
    env["VOLTPAY_DATABASE_PASSWORD_FILE"] = "nowhere"
    result = voltpay("consume", *LOCAL[:2], *LOCAL[4:], env=env)
    assert result.exit_code == 78
    assert "database.password_file: cannot read nowhere" in result.stderr
