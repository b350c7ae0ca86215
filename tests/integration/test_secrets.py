"""Nothing of payments or passwords shows on the real stack, whatever is rejected or crashes."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from attrs import evolve
from tests.harness import canary
from tests.harness.cli import start
from tests.harness.databases import MIGRATOR_PASSWORD, WRITER_PASSWORD, Database
from tests.harness.deployment import Deployment
from tests.harness.history import read_topic
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import jars
from tests.harness.stack.processes import descendants

from voltpay_core.codec import Codec
from voltpay_core.records import ProducerRecord

SECRETS = [
    form for word in (MIGRATOR_PASSWORD, WRITER_PASSWORD) for form in (word, quote(word, safe=""))
]
REFUSALS = """
CREATE FUNCTION write.refuse() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not this one: %', NEW USING DETAIL = NEW; END $$;
CREATE TRIGGER refuse BEFORE INSERT ON write.payment_notes
FOR EACH ROW WHEN (NEW.comment = 'canary-refused') EXECUTE FUNCTION write.refuse();
ALTER TABLE write.payment_core ADD CONSTRAINT not_this_amount CHECK (amount <> 4711);
ALTER TABLE write.payment_notes ALTER COLUMN external_ref_id TYPE varchar(20);
"""
CRASHING = """
from voltpay_adapters.postgres import error_mapping

def crash(place, fields):
    raise ValueError(fields)

error_mapping.failure = crash
from voltpay_cli.app import main
main()
"""


@pytest.fixture
def deployment(
    kafka: KafkaAddress, migrated_database: Database, tmp_path: Path
) -> Iterator[Deployment]:
    settings = {"kafka.options.session_timeout_ms": "6000", "log_level": "debug"}
    with closing(
        Deployment(kafka, migrated_database, tmp_path, partitions=2, settings=settings)
    ) as deployment:
        deployment.prepare()
        deployment.rows(REFUSALS)
        deployment.publish(records(Codec(deployment.topics)))
        yield deployment


def records(codec: Codec) -> list[ProducerRecord]:
    """Canaries of every kind, and three that the database rejects, each in its way."""
    good, *_ = canary.records(codec)
    refused = [
        evolve(canary.PAYMENT, message_id="canary-trigger", comment="canary-refused"),
        evolve(canary.PAYMENT, message_id="canary-check", amount=Decimal(4711)),
        evolve(canary.PAYMENT, message_id="canary-length", external_ref_id="canary" * 5),
    ]
    values = [codec.encode_payment(payment) for payment in refused]
    return [*canary.records(codec), *(evolve(good, value=value) for value in values)]


def leaks(text: str) -> list[str]:
    """What a text tells; dates and ids of other things may hold any digits."""
    found = [song for song in canary.leaks(text) if song != "4711" or re.search(r"\b4711", text)]
    return found + [secret for secret in SECRETS if secret in text]


def test_no_payment_is_in_any_output(deployment: Deployment) -> None:
    """Logs, summary, letters' headers and their list hold no payment, rejected rows included."""
    printed = deployment.run("consume", "--exit-eof", "--output", "json")
    printed += deployment.run("dead-letter", "list")
    printed += deployment.run("dead-letter", "list", "--output", "json")
    printed += deployment.run("dead-letter", "show", f"{deployment.topics.dead_letter}-0@0")
    printed += deployment.run("dead-letter", "replay")
    printed += deployment.run("check", code=78)  # topics of two partitions
    found = list(read_topic(deployment.kafka.bootstrap, deployment.topics.dead_letter))
    letters = [ProducerRecord("letters", r.key, r.value, r.headers) for r in found]
    told = canary.told_by_letters(letters)
    assert {"P0001", "23514", "22001"} <= set(re.findall(r"sqlstate=b'(\w+)'", told))
    assert len(letters) == len(records(Codec())) - 1
    assert leaks(printed) == []
    assert leaks(told) == []


def test_a_crash_on_a_rejected_row_does_not_show_it(deployment: Deployment) -> None:
    """A bug that meets PostgreSQL's own words, which hold the row, keeps them to itself."""
    program = (sys.executable, "-c", CRASHING)
    running = deployment.start("consume", "--exit-eof", program=program)
    assert running.exit_code() == 1
    printed = running.printed()
    assert "pg8000.exceptions.DatabaseError\n\nthen:\n\nTraceback" in printed
    assert "voltpay: a bug" in printed
    assert leaks(printed) == []


@pytest.mark.parametrize("command", ["consume --exit-eof", "db status", "db maintain"])
def test_no_secret_is_in_the_process_list(command: str, deployment: Deployment) -> None:
    """Neither the program nor Liquibase, its child, shows a password to who lists processes."""
    environment = {
        "VOLTPAY_DATABASE_MIGRATOR": deployment.database.migrator,
        "VOLTPAY_DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
        "VOLTPAY_LOG_LEVEL": "debug",
        "LIQUIBASE_LOG_LEVEL": "FINE",
    }
    running = start(*command.split(), cwd=deployment.folder, **environment)
    with running:
        seen = listed(running)
        out, err = running.communicate()
    assert running.returncode == 0, err
    assert any(command in line for line in seen)
    assert any("LiquibaseCommandLine" in line for line in seen) == (command == "db status")
    assert leaks("\n".join(seen)) == []
    assert leaks(out + err) == []


def listed(running: "subprocess.Popen[str]") -> set[str]:
    """Every command line of a program and its children until it ends (Linux)."""
    seen: set[str] = set()
    while running.poll() is None:
        for pid in (running.pid, *family(running.pid)):
            with suppress(FileNotFoundError, ProcessLookupError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
                seen.add(" ".join(os.fsdecode(word) for word in words).strip())
        with suppress(subprocess.TimeoutExpired):
            running.wait(0.02)
    return seen


def family(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):
        return descendants(pid)
    return []
