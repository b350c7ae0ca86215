"""The other commands, where no server is needed: what they print and how they end."""

import json
import os
import pwd
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from importlib import metadata
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.harness.cli import LOCAL, voltpay
from typer.main import get_command

from voltpay_cli.app import app
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.settings import Settings, Url
from voltpay_cli.wiring import Wiring
from voltpay_core.outcomes import Tally

pytestmark = pytest.mark.usefixtures("folder")


def flags_of(command: Any, *names: str) -> Iterator[tuple[str, list[str]]]:
    """Each command below this one by its full name, and its flags."""
    for name, below in getattr(command, "commands", {}).items():
        yield from flags_of(below, *names, name)
    if not hasattr(command, "commands"):
        given = (flag for parameter in command.params for flag in parameter.opts)
        yield " ".join(names), [flag for flag in given if flag.startswith("-")]


FLAGS_OF = dict(flags_of(get_command(app)))
ENDLESS = {"observe", "--watch"}
FLAGS = sorted({"--help", *chain.from_iterable(FLAGS_OF.values())} - ENDLESS)
COMMANDS = sorted(FLAGS_OF.keys() - {"demo"})  # which writes wherever it is told to
VALUES = (
    *("", "0", "1", "-1", "5", "nan", "1e9", "auto", "batch", "json", "a=b", "=", "7d", "7", "0d"),
    *(
        "file:in.jsonl",
        "file:out",
        "file:",
        "file:nowhere/x",
        "sqlite:voltpay.db",
        "sqlite::memory:",
    ),
    *("sqlite:nowhere/x", "kafka://", "kafka://host", "postgresql://", "postgresql://u@h", "\x00"),
    *("ü", "👩‍👩‍👧", "\x1b[31m", "voltpay.toml", ".", "..", "%s", "{}"),
)


@given(
    command=st.sampled_from(sorted(set(COMMANDS) - ENDLESS)),
    arguments=st.lists(st.sampled_from(FLAGS) | st.sampled_from(VALUES), max_size=8),
)
@example(command="consume", arguments=[*LOCAL, "--timeout", "0"])
@example(command="idempotency purge", arguments=["--store", "sqlite:.", "--dry-run"])
def test_no_arguments_are_a_crash(command: str, arguments: list[str]) -> None:
    """Whatever is said on the command line, it ends with an exit code of the table."""
    Path("in.jsonl").write_text("{}\n")
    result = voltpay(*command.split(), *arguments, env={"VOLTPAY_LIMITS_RETRY_SECONDS": "0"})
    assert result.exit_code in {2, *ExitCode} - {ExitCode.BUG}, result.exception
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(command: str) -> None:
    """--help of every command names what it does and what its flags mean."""
    result = voltpay(*command.split(), "--help")
    assert result.exit_code == 0
    assert command.rsplit(maxsplit=1)[-1] in result.output
    assert len(result.output.splitlines()) > 5


def test_the_version_is_reported() -> None:
    """--version alone prints the version."""
    result = voltpay("--version")
    assert (result.exit_code, result.stdout) == (0, f"{metadata.version('voltpay')}\n")


def test_the_module_is_the_program() -> None:
    """`python -m voltpay_cli` is `voltpay`, with its exit codes."""
    command = [sys.executable, "-m", "voltpay_cli", "consume"]
    assert subprocess.run(command, capture_output=True, check=False).returncode == 78


def test_the_demo_shows_that_nothing_changes() -> None:
    """The demo ends with exit 0, and the second of its two summaries wrote nothing."""
    result = voltpay("demo", "here")
    assert result.exit_code == 0, result.output
    first, second = (line for line in result.stdout.splitlines() if line.startswith("written"))
    assert "written 0," not in first
    assert second.startswith("written 0, duplicates 2000, dead letters 0, events 0 ")
    assert "sqlite3 here/voltpay.db" in result.stdout


def test_the_demo_can_be_shown_again_and_removes_only_its_own() -> None:
    """A second demo in the same folder shows the same, and leaves what others put there."""
    Path("here").mkdir()
    Path("here/mine.txt").write_text("keep me")
    shown = [voltpay("demo", "here").stdout.split(" in ")[0] for _ in range(2)]
    assert shown[0] == shown[1]
    assert Path("here/mine.txt").read_text() == "keep me"


def test_dead_letters_in_files_are_listed_without_their_contents() -> None:
    """Counts by code come first, then a line for each letter, and nothing of its message."""
    Path("in.jsonl").write_text('{"accountId":123454321,"comment":"hush"}\nhush\nhush\n')
    assert voltpay("consume", *LOCAL).exit_code == 0
    result = voltpay("dead-letter", "list", "--events", "file:out")
    assert result.exit_code == 0
    first, second, *letters = result.stdout.splitlines()
    assert first.split() == ["2", "bad-json"]
    assert second.split() == ["1", "invalid-field"]
    assert len(letters) == 3
    assert "messageId is missing or empty" in result.stdout
    assert "hush" not in result.output
    assert "123454321" not in result.output


def test_dead_letters_can_be_listed_as_json_and_by_code() -> None:
    """--output json gives the same to a program; --code and --limit narrow it down."""
    Path("in.jsonl").write_text("{}x\n[]\n{}x\n")
    voltpay("consume", *LOCAL)
    flags = ("--events", "file:out", "--output", "json", "--code", "bad-json", "--limit", "2")
    found = json.loads(voltpay("dead-letter", "list", *flags).stdout)
    assert found["counts"] == {"bad-json": 3}
    assert [letter["code"] for letter in found["letters"]] == ["bad-json"] * 2


def with_letters(*lines: str) -> None:
    """Dead letters of these lines, in files."""
    Path("in.jsonl").write_text("".join(f"{line}\n" for line in lines))
    assert voltpay("consume", *LOCAL).exit_code == 0


DLQ = ("--events", "file:out")


def test_dead_letters_are_listed_by_the_time_of_their_failure() -> None:
    """--since and --until take a date or a time, in UTC unless it has a zone, or an age."""
    with_letters("hush")
    for since, until, count in (
        ("1h", None, 1),
        (None, "1h", 0),
        ("2020-01-01T00:00Z", None, 1),
        (None, "2020-01-01T00:00+02:00", 0),
        ("2020-01-01", None, 1),
        (None, "2020-01-01T00:00", 0),
        ("0s", None, 0),
    ):
        flags = [*(("--since", since) if since else ()), *(("--until", until) if until else ())]
        found = json.loads(voltpay("dead-letter", "list", *DLQ, *flags, "--output", "json").stdout)
        assert sum(found["counts"].values()) == len(found["letters"]) == count


@pytest.mark.parametrize("time", ["", "soon", "2026-13-01", "12:00", "-1h", "999999d"])
def test_whatever_is_no_time_is_rejected(time: str) -> None:
    """Whatever is no date, time or age is rejected with correct ones."""
    result = voltpay("dead-letter", "list", *DLQ, "--since", time)
    assert result.exit_code == 78
    assert "--since: needs a date or a time, in UTC unless it has a zone" in result.stderr


def test_a_trace_leads_from_the_list_to_its_flow() -> None:
    """The list has the trace and the correlation id of each letter's record."""
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"traceparent": f"00-{trace}-b7ad6b7169203331-01", "correlation-id": "c-42"}
    with_letters(json.dumps({"key": "1", "value": "hush", "headers": headers}))
    shown = voltpay("dead-letter", "list", *DLQ).stdout
    assert f"  {trace}  c-42  " in shown


def test_a_dead_letter_is_shown_without_its_payment() -> None:
    """Everything is shown but the payment; --reveal shows the record, and the log says to whom."""
    with_letters("hush")
    place = "payment_writer_dlq-0@0"
    result = voltpay("dead-letter", "show", place, *DLQ)
    assert result.exit_code == 0
    for line in ('code = "bad-json"', "value_bytes = 4", "attempt = 1", f'place = "{place}"'):
        assert line in result.stdout.splitlines()
    assert "hush" not in result.output
    assert "audit" not in result.stderr
    revealed = voltpay("dead-letter", "show", place, *DLQ, "--reveal", "--output", "json")
    assert json.loads(revealed.stdout)["record"]["value"] == "hush"
    (line,) = revealed.stderr.splitlines()
    user = pwd.getpwuid(os.geteuid()).pw_name
    words = f"voltpay dead-letter show --events file:out {place} --reveal --output json"
    assert f"INFO audit: {user}@{socket.gethostname()}: {words}" in line
    assert "hush" not in line


def test_a_dead_letter_that_is_gone_is_reported() -> None:
    """A place without a letter ends with 78, and a text that is no place too."""
    for place in ("payment_writer_dlq-0@0", "nowhere"):
        assert voltpay("dead-letter", "show", place, *DLQ).exit_code == 78


def test_exported_dead_letters_can_be_consumed() -> None:
    """The file is a source: its records fail again, once more than before."""
    with_letters("{}x", "[]")
    result = voltpay("dead-letter", "export", "letters.jsonl", *DLQ, "--output", "json")
    assert (result.exit_code, json.loads(result.stdout)) == (0, {"exported": 2})
    assert "audit: " in result.stderr
    assert voltpay("dead-letter", "export", "letters.jsonl", *DLQ).exit_code == 78
    again = voltpay("consume", *LOCAL, "--source", "file:letters.jsonl")
    assert "dead letters 2" in again.stdout
    listed = voltpay("dead-letter", "list", *DLQ, "--output", "json").stdout
    assert [letter["attempt"] for letter in json.loads(listed)["letters"]] == [1, 1, 2, 2]
    lines = voltpay("dead-letter", "export", "-", *DLQ, "--code", "bad-json").stdout
    assert lines.count("{}x") == lines.count("[]") == 2


def test_there_may_be_no_dead_letters() -> None:
    """Without dead letters the list is empty, and that is not a failure."""
    result = voltpay("dead-letter", "list", "--events", "file:out")
    assert (result.exit_code, result.stdout) == (0, "")


def test_dead_letters_in_files_are_replayed_by_consuming_them() -> None:
    """A replay from files is rejected; the error names the way that works."""
    Path("in.jsonl").write_text("{}x\n")
    voltpay("consume", *LOCAL)
    result = voltpay("dead-letter", "replay", "--yes", *LOCAL[:2], *LOCAL[4:])
    assert result.exit_code == 78
    assert "name the copy as the --source" in result.stderr
    Path("copy.jsonl").write_bytes(Path("out/payment_writer_dlq.jsonl").read_bytes())
    again = voltpay("consume", *LOCAL, "--source", "file:copy.jsonl")
    assert "dead letters 1" in again.stdout
    listed = voltpay("dead-letter", "list", "--events", "file:out", "--output", "json").stdout
    assert [letter["attempt"] for letter in json.loads(listed)["letters"]] == [1, 2]


def claims(*ages: int) -> None:
    """A database with claims of this age in days."""
    voltpay("idempotency", "purge", "--store", "sqlite:voltpay.db")  # makes the tables
    with closing(sqlite3.connect("voltpay.db")) as connection, connection:
        connection.executemany(
            "INSERT INTO idempotency VALUES (?, strftime('%Y-%m-%d %H:%M:%f', 'now', ?))",
            [(f"m{number}", f"-{age} days") for number, age in enumerate(ages)],
        )


@settings(max_examples=10)
@given(ages=st.lists(st.sampled_from((0, 1, 6, 8, 30)), max_size=20), chunk=st.integers(1, 7))
def test_old_claims_are_purged_in_chunks_of_any_size(ages: list[int], chunk: int) -> None:
    """The purge deletes what is older than asked, no more and no less, whatever its chunks."""
    Path("voltpay.db").unlink(missing_ok=True)
    claims(*ages)
    flags = ("--store", "sqlite:voltpay.db", "--older-than", "7d")
    old = sum(age > 7 for age in ages)
    counted = voltpay("idempotency", "purge", *flags, "--dry-run")
    assert counted.stdout == f"would delete {old} claims\n"
    for expected in (old, 0):
        purged = voltpay("idempotency", "purge", *flags, "--chunk", str(chunk))
        assert (purged.exit_code, purged.stdout) == (0, f"deleted {expected} claims\n")


@pytest.mark.parametrize("level", ["debug", "error"])
def test_a_purge_is_logged_with_what_it_was_told(level: str) -> None:
    """One line says who purged what; a dry run deletes nothing and leaves no line."""
    claims(8)
    flags = ("--store", "sqlite:voltpay.db", "--older-than", "7d")
    told = {"VOLTPAY_LOG_LEVEL": level}
    assert "audit" not in voltpay("idempotency", "purge", *flags, "--dry-run", env=told).stderr
    purged = voltpay("idempotency", "purge", *flags, "--force", env=told)
    words = "voltpay idempotency purge --store sqlite:voltpay.db --older-than 7d --force"
    assert purged.stderr.count(f": {words} (store sqlite:voltpay.db)") == 1


def test_a_purge_is_in_no_writers_way() -> None:
    """A purge leases the last node id, and leaves the first ones to writers."""
    given = Settings(store=Url("sqlite:voltpay.db"))
    with Wiring(settings=given).database() as begin, begin() as work:
        assert work.node_id == 999


def test_the_age_is_a_setting() -> None:
    """Without a flag, purges and replays use the same setting."""
    claims(1, 3, 8)
    flags = ("--store", "sqlite:voltpay.db", "--dry-run")
    for days, old in {"7": 1, "2": 2}.items():
        counted = voltpay("idempotency", "purge", *flags, env={"VOLTPAY_LIMITS_CLAIMS_DAYS": days})
        assert counted.stdout == f"would delete {old} claims\n"


def test_claims_are_kept_as_long_as_the_input_is() -> None:
    """An age below the input topic's retention is rejected with 78, unless it is forced."""
    claims(2, 2)
    flags = ("--store", "sqlite:voltpay.db", "--older-than", "48h")
    kept = {"VOLTPAY_TOPICS_RETENTION_HOURS": "48", "VOLTPAY_LIMITS_CLAIMS_DAYS": "1"}
    refused = voltpay("idempotency", "purge", *flags, env=kept)
    assert refused.exit_code == 78
    assert "keeps records for up to 49 hours" in refused.stderr
    assert voltpay("idempotency", "purge", *flags, "--force", env=kept).exit_code == 0


def test_claims_are_kept_for_replays() -> None:
    """An age below the limit of replays is rejected with 78, unless it is forced."""
    claims(2, 2)
    flags = ("--store", "sqlite:voltpay.db", "--older-than", "6d")
    refused = voltpay("idempotency", "purge", *flags)
    assert refused.exit_code == 78
    assert "limits.claims_days" in refused.stderr
    assert voltpay("idempotency", "purge", *flags, "--force").exit_code == 0


@pytest.mark.parametrize("age", ["", "7", "d", "-1d", "1.5d", "7 d", "week", "9999999d", "\u0667d"])
def test_an_age_is_a_number_and_a_unit(age: str) -> None:
    """The error for a malformed age shows a correct one."""
    claims()
    result = voltpay("idempotency", "purge", "--store", "sqlite:voltpay.db", "--older-than", age)
    assert result.exit_code == 78
    assert "such as 7d" in result.stderr


def test_the_database_commands_are_for_postgresql() -> None:
    """With SQLite, which makes its own tables, `voltpay db` says so."""
    for command in ("bootstrap", "update", "maintain"):
        result = voltpay("db", command, "--store", "sqlite:voltpay.db")
        assert result.exit_code == 78
        assert "makes its own tables" in result.stderr


def test_the_topics_need_kafka() -> None:
    """Without Kafka the commands for topics say what is missing."""
    for command in ("create", "check"):
        result = voltpay("topics", command, *LOCAL[:2])
        assert result.exit_code == 78
        assert "--source kafka://" in result.stderr


def test_the_doctor_looks_at_files_too() -> None:
    """On files and SQLite the checks report line by line what can be read and written."""
    result = voltpay("check", *LOCAL)
    assert result.exit_code == 78
    assert "FAIL source: cannot read in.jsonl" in result.stdout
    Path("in.jsonl").touch()
    result = voltpay("check", *LOCAL)
    assert result.exit_code == 0
    assert all(line.startswith("ok ") for line in result.stdout.splitlines())
    assert len(result.stdout.splitlines()) == 4


def test_the_doctor_tells_an_outage_from_a_bad_setting() -> None:
    """A database that cannot be reached is 69, nothing set at all is 78."""
    gone = ("--store", "postgresql://u@127.0.0.1:1/d")
    Path("in.jsonl").touch()
    assert voltpay("check", *LOCAL, *gone).exit_code == 69
    assert voltpay("check").exit_code == 78


@pytest.mark.parametrize("path", ["file:.", "file:nowhere/in.jsonl"])
def test_where_nothing_can_be_produced_is_reported(path: str) -> None:
    """A file that cannot be written ends `produce` with 78."""
    assert voltpay("produce", "--source", path).exit_code == 78


def test_a_rate_leaves_nothing_out() -> None:
    """At a rate, too, all records are produced."""
    result = voltpay("produce", "--source", "file:in.jsonl", "--count", "7", "--rate", "100")
    assert result.exit_code == 0
    assert len(Path("in.jsonl").read_bytes().splitlines()) == 7


def test_warm_ups_are_sent_where_there_are_any() -> None:
    """The summary names warm-up records only when some came."""
    assert "warm-ups" not in str(Tally(written=1))
    assert "warm-ups 2" in str(Tally(warm_ups=2))
