"""`voltpay consume` and its friends on files and SQLite: what they print and how they end."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from tests.harness.cli import LOCAL, start, voltpay

from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_cli.console import progress
from voltpay_cli.settings import Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Unavailable

pytestmark = pytest.mark.usefixtures("folder")


def produced(count: int, *flags: str) -> None:
    result = voltpay("produce", "--source", "file:in.jsonl", "--count", str(count), *flags)
    assert result.exit_code == 0, result.output


def rows(table: str) -> int:
    with closing(sqlite3.connect("voltpay.db")) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def lines(name: str) -> int:
    path = Path("out", name)
    return len(path.read_bytes().splitlines()) if path.exists() else 0


def summary(*flags: str) -> dict[str, int]:
    result = voltpay("consume", *LOCAL, "--output", "json", *flags)
    assert result.exit_code == 0, result.output
    found: dict[str, int] = json.loads(result.stdout)
    return found


def test_every_record_has_one_outcome() -> None:
    """Payments, duplicates and dead letters of a run make up all records, here and on disk."""
    produced(500, "--duplicates", "0.1", "--poison", "0.1", "--seed", "1")
    total = summary()
    assert total["written"] + total["duplicates"] + total["dead_letters"] == 500
    assert min(total["written"], total["duplicates"], total["dead_letters"]) > 10
    for table in ("payment_core", "payment_metadata", "payment_notes"):
        assert rows(table) == total["written"]
    assert lines("payment_read_topic.jsonl") == total["written"]
    assert lines("payment_writer_dlq.jsonl") == total["dead_letters"]
    assert total["events"] == sum(
        map(lines, ("payment_read_topic.jsonl", "payment_email.jsonl", "payment_writer_dlq.jsonl"))
    )
    assert rows("outbox") == 0


def test_a_run_goes_on_where_the_last_one_ended() -> None:
    """Records are read once, however many runs it takes, and what is added later comes next."""
    produced(50, "--seed", "1")
    assert summary("--max-messages", "20")["written"] == 20
    assert summary()["written"] == 30
    assert summary()["written"] == 0


def test_the_same_payments_again_are_duplicates() -> None:
    """Payments that are produced a second time change nothing."""
    produced(50, "--seed", "1")
    Path("twice.jsonl").write_bytes(Path("in.jsonl").read_bytes() * 2)
    total = summary("--source", "file:twice.jsonl")
    assert (total["written"], total["duplicates"], rows("payment_core")) == (50, 50, 50)


def test_payments_come_by_a_pipe(folder: Path) -> None:
    """What `produce` writes to a pipe `consume` reads from it, to its end."""
    producer = start("produce", "--source", "file:-", "--count", "30", cwd=folder)
    payments, told = producer.communicate(timeout=60)
    assert "produced 30 records" in told
    consumer = start("consume", "--source", "file:-", *LOCAL[2:], "--output", "json", cwd=folder)
    printed, _ = consumer.communicate(payments, timeout=60)
    assert json.loads(printed)["written"] == 30
    assert consumer.returncode == 0


@pytest.mark.parametrize("unit", ["account", "3", "batch"])
def test_commit_units_change_nothing_but_the_transactions(unit: str) -> None:
    """Any commit unit and batch size writes the same payments."""
    produced(100, "--accounts", "9", "--seed", "1")
    assert summary("--commit-unit", unit, "--batch-size", "17")["written"] == 100


def test_warm_ups_are_sent_again() -> None:
    """After warm-ups that are not acknowledged, those of the next attempt arrive."""
    publisher, wiring = MemoryPublisher(broken=True), Wiring(settings=Settings())
    with pytest.raises(Unavailable):
        wiring._warm_up(publisher)
    wiring._warm_up(publisher)
    assert len(publisher.events) == Settings().limits.warm_ups


def test_warm_ups_are_counted_and_dropped() -> None:
    """Warm-up records have no effect, and are counted apart."""
    produced(5, "--warm-ups", "2")
    assert (summary()["warm_ups"], rows("payment_core"), rows("idempotency")) == (2, 5, 5)


def test_stdout_is_one_summary() -> None:
    """A run prints one line on stdout, whatever it logs on stderr."""
    produced(10, "--seed", "1")
    result = voltpay("consume", *LOCAL)
    assert result.stdout.startswith("written 10, duplicates 0, dead letters 0, events ")
    assert result.stdout.count("\n") == 1
    assert "/in.jsonl" in result.stderr.partition("took over ")[2]


def test_nothing_of_a_payment_is_logged() -> None:
    """Neither logs nor dead letters' reasons repeat what a message held."""
    Path("in.jsonl").write_text('{"messageId":"hush","accountId":7,"amount":"secret"}\n')
    result = voltpay("consume", *LOCAL, env={"VOLTPAY_LOG_LEVEL": "debug"})
    assert result.exit_code == 0
    assert "hush" not in result.output
    assert "secret" not in result.output


def test_without_settings_it_says_what_is_missing() -> None:
    """Nothing set ends with exit 78 and one message that names all three, and the ways."""
    result = voltpay("consume")
    assert result.exit_code == 78
    assert result.stdout == ""
    for word in ("source", "store", "events", "VOLTPAY_SOURCE", "voltpay.toml", "--store sqlite:"):
        assert word in result.stderr
    result = voltpay("consume", *LOCAL[:4])
    assert result.exit_code == 78
    assert "events (where events and dead letters go)" in result.stderr
    assert "store (" not in result.stderr


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("--nonsense",), 2),
        (("--output", "xml"), 2),
        (("--max-messages", "0"), 2),
        (("--source", "file:nowhere.jsonl"), 78),
        (("--node-id", "1000"), 78),
        (("--commit-unit", "some"), 78),
        (("-X", "no.such.option=1"), 0),  # no Kafka, no question
        (("--source", "kafka://127.0.0.1:1", "-X", "no.such.option=1"), 78),
    ],
)
def test_what_cannot_be_is_reported_by_the_exit_code(flags: tuple[str, ...], code: int) -> None:
    """A wrong usage ends with 2, a configuration that cannot work with 78."""
    produced(1)
    assert voltpay("consume", *LOCAL, *flags).exit_code == code


def test_a_taken_node_id_is_a_configuration_that_cannot_work(folder: Path) -> None:
    """Two processes never run under one node id: the second ends with 78 and says why."""
    produced(1)
    with open_pipe(folder, "--node-id", "7") as running:
        wait_until_reading(running)
        result = voltpay("consume", *LOCAL, "--node-id", "7")
        assert result.exit_code == 78
        assert "node id 7 is taken" in result.stderr
        assert voltpay("consume", *LOCAL, "--node-id", "8").exit_code == 0


def open_pipe(folder: Path, *flags: str) -> "subprocess.Popen[str]":
    """A consumer of a pipe that nothing comes through."""
    return start("consume", "--source", "file:-", *LOCAL[2:], *flags, cwd=folder)


def wait_until_reading(running: "subprocess.Popen[str]") -> None:
    assert running.stderr is not None
    assert any("took over" in line for line in running.stderr)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_finishes_the_batch(folder: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT end a run with its summary and exit 0."""
    with open_pipe(folder) as running:
        wait_until_reading(running)
        running.send_signal(number)
        assert running.wait(timeout=60) == 0
        assert running.stdout is not None
        assert running.stdout.read().startswith("written 0")


def test_a_signal_during_an_outage_ends_with_75(folder: Path) -> None:
    """Where an outage keeps the batch from being finished, a stop ends with exit 75."""
    produced(1)
    with closing(sqlite3.connect("voltpay.db")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        with start("consume", *LOCAL, cwd=folder, VOLTPAY_DATABASE_LOCK_SECONDS="1") as running:
            assert running.stderr is not None
            assert any("busy" in line for line in running.stderr)
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 75


def test_a_second_signal_aborts_at_once() -> None:
    """Who asks twice gets exit 75, whatever the program is waiting for."""
    waiting = (
        "import threading\n"
        "from voltpay_cli.console.signals import stop_on_signals\n"
        "with stop_on_signals():\n"
        "    print('ready', flush=True)\n"
        "    threading.Event().wait()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", waiting],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == "ready\n"
        running.send_signal(signal.SIGTERM)
        assert "again to abort" in running.stderr.readline()
        running.send_signal(signal.SIGINT)
        assert running.wait(timeout=60) == 75


def test_an_outage_that_lasts_ends_with_69(folder: Path) -> None:
    """When the retries are used up, the run ends with exit 69 and says what is out."""
    produced(1)
    with closing(sqlite3.connect("voltpay.db")) as other:
        other.execute("PRAGMA journal_mode = WAL")
        other.execute("BEGIN IMMEDIATE")
        result = voltpay(
            "consume",
            *LOCAL,
            env={"VOLTPAY_DATABASE_LOCK_SECONDS": "1", "VOLTPAY_LIMITS_RETRY_SECONDS": "1"},
        )
    assert result.exit_code == 69
    assert "keeps the database busy" in result.stderr
    assert voltpay("consume", *LOCAL).exit_code == 0
    assert rows("payment_core") == 1


def test_a_time_limit_before_the_end_is_75(folder: Path) -> None:
    """A run that was to drain its source and could not in time ends with exit 75."""
    with open_pipe(folder, "--exit-eof", "--timeout", "1") as running:
        assert running.wait(timeout=60) == 75


def dry_run(*flags: str) -> dict[str, object]:
    result = voltpay(
        "consume", "--dry-run", "--output", "json", "--source", "file:in.jsonl", *flags
    )
    assert result.exit_code == 0, result.output
    found: dict[str, object] = json.loads(result.stdout)
    del found["seconds"]
    return found


def test_a_dry_run_counts_and_changes_nothing(folder: Path) -> None:
    """A dry run needs no store, leaves nothing behind, and a real run finds what it counted."""
    produced(300, "--duplicates", "0.1", "--poison", "0.1", "--seed", "1", "--warm-ups", "2")
    found = dry_run()
    assert dry_run("--rate", "1000") == found
    assert [path.name for path in folder.iterdir()] == ["in.jsonl"]
    total = summary()
    codes = found.pop("codes")
    assert isinstance(codes, dict)
    assert sum(codes.values()) == total["dead_letters"]
    assert found == {
        "dry_run": True,
        "payments": total["written"] + total["duplicates"],
        "dead_letters": total["dead_letters"],
        "warm_ups": 2,
    }


def test_a_dry_run_says_what_it_is() -> None:
    """The summary as text has the counts by code, and says that nothing was done."""
    Path("in.jsonl").write_text('{}\n[]\n{"accountId":7,"comment":"hush"}\n')
    result = voltpay("consume", "--dry-run", *LOCAL)
    assert result.stdout.startswith(
        "payments 0, dead letters 2 (bad-json 1, invalid-field 1), warm"
    )
    assert result.stdout.endswith(": this was a dry run\n")
    assert "hush" not in result.output
    assert not Path("voltpay.db").exists()


def test_a_dry_run_can_be_limited() -> None:
    """--max-messages limits a dry run too, and it is one process."""
    produced(30, "--seed", "1")
    assert dry_run("--max-messages", "7")["payments"] == 7
    assert voltpay("consume", "--dry-run", *LOCAL, "--workers", "2").exit_code == 78


def test_a_dry_run_of_a_pipe_can_be_stopped(folder: Path) -> None:
    """Where nothing comes through a pipe, a time limit ends the dry run with 75."""
    with start(
        "consume", "--dry-run", "--source", "file:-", "--timeout", "1", cwd=folder
    ) as running:
        assert running.wait(timeout=60) == 75
        assert running.stdout is not None
        assert running.stdout.read().startswith("payments 0")


def test_a_rate_bounds_a_run() -> None:
    """At a rate all records are consumed, and each second no more than that."""
    produced(25, "--seed", "1")
    total = summary("--rate", "20")
    assert total["written"] == 25
    assert 1 <= total["seconds"] < 10


def test_the_log_says_how_far_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that comes once a minute has the share of the file and the time left."""
    monkeypatch.setattr(progress, "_LOG_EVERY", 0.0)
    produced(10, "--seed", "1")
    told = voltpay("consume", *LOCAL, "--batch-size", "4").stderr
    assert re.findall(r"; lag \d+; (\d+ %), \d:\d\d:\d\d left", told) == ["40 %", "80 %", "100 %"]
