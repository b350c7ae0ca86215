"""`voltpay status`: what a report says to a person and to a program, and how the command ends."""

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.cli import LOCAL, voltpay
from tests.harness.snapshots import NOW, group, groups, snapshot, store

from voltpay_adapters.findings import Finding
from voltpay_adapters.snapshots import GroupState, Member, Rate
from voltpay_cli.console.status import MOST_HOURS, MOST_MEMBERS, as_text, as_values, number_ranges
from voltpay_cli.reporting import Report
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.errors import Misconfigured, Unavailable

HOUR = timedelta(hours=1)
WELL = Report(snapshot(), [], Rate(0, 0), ())
OWNERS = [Member(f"client-{n}", f"10.0.0.{n}", (n,)) for n in range(50)]


def letter(code: str, at: datetime) -> DeadLetter:
    return DeadLetter(
        code=code,
        location="dlq-0@1",
        origin="in-0@1",
        attempt=1,
        first_failed_at=at,
        failed_at=at,
        reason="because",
    )


def text(**given_: Any) -> str:
    return "\n".join(as_text(evolve(WELL, **given_)))


@given(numbers=st.sets(st.integers(0, 200)))
def test_ranges_name_every_number_once(numbers: set[int]) -> None:
    """Numbers are written as ranges, in order, without a loss."""
    read: list[int] = []
    told = number_ranges(sorted(numbers))
    for part in told.split(", ") if numbers else ():
        first, _, last = part.partition("-")
        read += range(int(first), int(last or first) + 1)
    assert read == sorted(numbers)
    assert numbers or told == "-"


def test_the_first_line_is_the_verdict() -> None:
    """The first line says whether a person is needed, and how many records wait."""
    assert as_text(WELL)[0] == "OK: no record waits"
    busy = group({0: 1200, 1: 34}, Member("a", "h", (0, 1)))
    assert text(snapshot=snapshot(group=busy)).startswith("OK: 1,234 records wait\n")
    assert text(snapshot=snapshot(group=None)).startswith("OK\n")
    found = [Finding("group", Unavailable("no writer", code="no-member"))]
    assert text(problems=found).startswith("ATTENTION: 1 problem\n")
    assert text(problems=found * 2).startswith("ATTENTION: 2 problems\n")


def test_each_problem_says_what_to_do() -> None:
    """A problem is a line with its name, its failure and the way out."""
    found = [
        Finding("group", Unavailable("no writer is in the consumer group", code="no-member")),
        Finding("schema", Misconfigured("does not exist", code="no-schema")),
    ]
    lines = as_text(evolve(WELL, problems=found))
    assert lines[1:3] == [
        "  group: no writer is in the consumer group; voltpay consume",
        "  schema: does not exist; voltpay db bootstrap, then voltpay db update",
    ]
    told = as_values(evolve(WELL, problems=found))
    assert told["verdict"] == "attention"
    assert [(each["name"], each["code"]) for each in told["problems"]] == [
        ("group", "no-member"),
        ("schema", "no-schema"),
    ]


def test_everything_is_on_the_screen() -> None:
    """Members, lag, rate, outbox, months, claims, node ids and dead letters have their lines."""
    found = snapshot(
        group=group(
            {0: 0, 1: 7000, 2: 8, 3: 0}, Member("b", "10.0.0.2", (2,)), Member("a", "h", (0, 1))
        ),
        store=store(outbox_rows=3, outbox_oldest=130.0, oldest_claim=3 * 86_400.0),
        dead_letters=5000,
    )
    letters = (letter("bad-json", NOW - HOUR), letter("key", NOW - 2 * HOUR))
    report = Report(found, [], Rate(produced=10, acknowledged=1010), (*letters, letters[0]))
    assert as_text(report) == [
        "OK: 7,008 records wait",
        "2025-01-31 12:30:00 UTC",
        "",
        "members       2",
        "              h  a         partitions 0-1",
        "              10.0.0.2  b  partitions 2",
        "unowned       partitions 3",
        "lag           7,008 records in 2 of 4 partitions",
        "              1: 7,000, 2: 8",
        "rate          1,010 records/s finished, 10 produced; no record waits after 7 s",
        "outbox        3 rows wait, the oldest for 2.2 minutes",
        "months        ahead: payment_core 2, payment_metadata 2, payment_notes 2",
        "claims        the oldest is 3.0 days old",
        "node ids      000, 001 are held by running processes",
        "dead letters  5,000 retained, of which the newest 3 were read",
        "              bad-json 2, key 1",
        "              2025-01-31 11:00 UTC        2  bad-json 2",
        "              2025-01-31 10:00 UTC        1  key 1",
    ]


def test_a_large_system_fits_on_a_screen() -> None:
    """Many members, partitions and hours are cut off, and the number of the others is told."""
    many = snapshot(group=group(dict.fromkeys(range(100), 1), *OWNERS), dead_letters=50)
    letters = tuple(letter("bad-json", NOW - n * HOUR) for n in range(50))
    lines = as_text(evolve(WELL, snapshot=many, letters=letters))
    assert len(lines) < MOST_MEMBERS + MOST_HOURS + 20
    assert max(map(len, lines)) < 100
    assert [line.strip() for line in lines if "more" in line] == [
        f"and {50 - MOST_MEMBERS} more",
        "0: 1, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, and 92 more",
        f"and {50 - MOST_HOURS} more",
    ]


@given(found=groups)
def test_a_program_gets_all_of_it(found: GroupState) -> None:
    """The JSON has each partition and each member, whatever their number."""
    told = json.loads(json.dumps(as_values(evolve(WELL, snapshot=snapshot(group=found)))))
    assert told["group"]["lag_by_partition"] == {str(n): lag for n, lag in found.lag.items()}
    assert told["group"]["lag"] == sum(found.lag.values())
    assert told["group"]["unowned"] == list(found.unowned)
    assert [each["partitions"] for each in told["group"]["members"]] == [
        list(each.partitions) for each in found.members
    ]
    assert told["verdict"] == "ok"


@pytest.mark.parametrize("part", ["group", "store", "dead_letters"])
def test_a_part_that_failed_is_null_and_has_no_line(part: str) -> None:
    """What could not be read is not shown as 0, and the rest is shown."""
    names = {"group": "members", "store": "outbox", "dead_letters": "dead letters"}
    found = snapshot(**{part: Unavailable("away")})
    told = as_values(evolve(WELL, snapshot=found))
    assert [name for name in names if told[name] is None] == [part]
    shown = text(snapshot=found)
    assert [name for name, label in names.items() if f"\n{label} " not in shown] == [part]


def test_what_a_client_calls_itself_cannot_control_a_terminal() -> None:
    """Unprintable characters of a client's name are replaced."""
    assert "\x1b" not in text(snapshot=snapshot(group=group({0: 0}, Member("\x1b[2J", "h", (0,)))))


@pytest.mark.usefixtures("folder")
def test_a_system_of_files_has_a_status() -> None:
    """With SQLite and files, what there is is shown: outbox, claims and dead letters by code."""
    Path("in.jsonl").write_text('{}x\n[]\n{"accountId":1}\n')
    assert voltpay("consume", *LOCAL).exit_code == 0
    result = voltpay("status", *LOCAL)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == "OK"
    assert "outbox        0 rows wait" in lines
    assert "dead letters  3 retained" in lines
    assert "              bad-json 2, invalid-field 1" in lines
    told = json.loads(voltpay("status", *LOCAL, "--output", "json").stdout)
    assert told["dead_letters"]["by_code"] == {"bad-json": 2, "invalid-field": 1}
    assert (told["group"], told["rate"]) == (None, None)


@pytest.mark.usefixtures("folder")
def test_a_status_changes_nothing() -> None:
    """Before anything is there, status says so, and it creates no file."""
    result = voltpay("status", *LOCAL)
    assert result.exit_code == 0
    assert "voltpay.db does not exist yet; voltpay consume creates it" in result.stdout
    assert list(Path().iterdir()) == []


@pytest.mark.usefixtures("folder")
def test_a_status_needs_an_answer_of_something() -> None:
    """An ill system ends with 0, one of which nothing answers with the code of its failure."""
    result = voltpay("status", "--store", "sqlite:voltpay.db")
    assert result.exit_code == 69
    assert result.stdout.startswith("ATTENTION: ")
    nothing = voltpay("status")
    assert (nothing.exit_code, nothing.stdout) == (78, "")
    assert "not set: source" in nothing.stderr
