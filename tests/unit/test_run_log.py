"""The lines that tell of a run: how often each comes, and what it says."""

import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from attrs import define, field
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.harness.cli import LOCAL, voltpay

from voltpay_cli.console.letter_log import LETTERS
from voltpay_cli.console.lines import about
from voltpay_cli.console.run_log import EVERY, RunLog
from voltpay_core.errors import Fenced, Rejected, Unavailable
from voltpay_core.notices import BatchDone, Idle, Notice, Retrying, TakenOver, UnitCommitted
from voltpay_core.outcomes import DeadLettered, Tally
from voltpay_core.records import Headers, Partition, Record

PARTITION = Partition("t", 3)
TRACE = "0af7651916cd43dd8448eb211c80319c"
OUTAGE = Retrying(Unavailable("PostgreSQL at db cannot be reached", code="database"), 2, 0.2)
DONE = BatchDone(Tally(), {}, 0)


@define(eq=False)
class Told(logging.Handler):
    """A run's log, at times that a test sets."""

    now: float = 100.0
    lines: list[tuple[float, logging.LogRecord]] = field(factory=list)
    run: RunLog = field(init=False)

    def __attrs_pre_init__(self) -> None:
        super().__init__()

    def __attrs_post_init__(self) -> None:
        self.run = RunLog(lambda: self.now)

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((self.now, record))

    def hear(self, *notices: Notice, after: float = 0) -> list[str]:
        """The lines of these notices."""
        self.now += after
        before = len(self.lines)
        for notice in notices:
            self.run(notice)
        return [record.getMessage() for _, record in self.lines[before:]]


@pytest.fixture
def told() -> Told:
    return listening(Told())


def listening(told: Told) -> Told:
    logger = logging.getLogger("voltpay")
    logger.handlers = [told]
    logger.setLevel(logging.INFO)
    return told


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """The log as it was, after each test."""
    logger = logging.getLogger("voltpay")
    level = logger.level
    yield
    logger.handlers = []
    logger.setLevel(level)
    about.node_id = None


def letters(code: str, count: int = 1, headers: Headers = (), **more: str) -> UnitCommitted:
    record = Record(PARTITION, 17, None, b"k", b"v", headers)
    outcomes = [DeadLettered(record, Rejected(code, "because", **more))] * count
    return UnitCommitted(Tally(dead_letters=count), outcomes, 0.1)


def fields(record: logging.LogRecord) -> dict[str, Any]:
    found: dict[str, Any] = vars(record)["fields"]
    return found


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(0, 90), st.sampled_from(["bad-json", "no-value"]), st.integers(1, 25))
    )
)
def test_dead_letters_have_at_most_ten_lines_a_minute(
    units: list[tuple[float, str, int]],
) -> None:
    """No minute has more than ten lines of a code, and lines and counts make up all letters."""
    told = listening(Told())
    for after, code, count in units:
        told.hear(letters(code, count), after=after)
    told.run.finish()
    counted: Counter[object] = Counter()
    for code in ("bad-json", "no-value"):
        of_it = [(at, line) for at, line in told.lines if fields(line)["code"] == code]
        times = [at for at, line in of_it if vars(line)["event"] == "dead-letter"]
        pairs = zip(times, times[LETTERS:], strict=False)
        assert all(late - early >= EVERY for early, late in pairs)
        counted[code] = len(times) + sum(fields(line).get("count", 0) for _, line in of_it)
    assert counted == sum((Counter({code: n}) for _, code, n in units), Counter())


def test_what_was_left_out_is_counted_within_a_minute(told: Told) -> None:
    """The count comes with the first notice after a minute, and at the end of the run."""
    told.hear(letters("no-value", 12))
    assert told.hear(DONE, after=EVERY - 1) == []
    assert told.hear(DONE, after=1) == ["2 more dead letters with the code no-value"]
    assert told.hear(DONE, after=EVERY) == []


def test_a_dead_letter_is_placed(told: Told) -> None:
    """The line has place, code, SQLSTATE, attempt and ids, and nothing of the payment."""
    headers = (
        ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
        ("correlation-id", b"order:7"),
        ("voltpay-dlq-attempt", b"2"),
    )
    (line,) = told.hear(letters("refused-by-database", 1, headers, sqlstate="23514"))
    assert line == (
        "dead letter t-3@17: code refused-by-database, sqlstate 23514, attempt 3,"
        f" trace_id {TRACE}, correlation_id order:7"
    )


@pytest.mark.parametrize("text", [b"a b", b"x" * 65, b"\xff", b"a\nb", b"", b"{}"])
def test_ids_that_are_not_harmless_are_left_out(told: Told, text: bytes) -> None:
    """Ids from outside are shown only where they are at most 64 letters, digits and ``._:-``."""
    (line,) = told.hear(letters("no-value", 1, (("correlation-id", text), ("traceparent", text))))
    assert line == "dead letter t-3@17: code no-value, attempt 1"


def test_an_idle_minute_has_a_line(told: Told) -> None:
    """While no batch comes there is a line a minute; a batch begins the time again."""
    assert told.hear(Idle({}), after=EVERY - 1) == []
    assert told.hear(Idle({PARTITION: 2}), after=1) == ["idle for 60 s; lag 2"]
    assert told.hear(*[Idle({})] * 9, after=EVERY - 1) == []
    assert told.hear(Idle({}), after=1) == ["idle for 120 s; lag 0"]
    assert told.hear(DONE, Idle({}), after=EVERY) == []


def test_an_outage_has_a_line_a_minute_and_an_end(told: Told) -> None:
    """Retries are logged once a minute with the length of the outage, and so is its end."""
    assert told.hear(OUTAGE, OUTAGE) == []
    assert told.hear(OUTAGE, after=EVERY) == ["outage for 60 s: PostgreSQL at db cannot be reached"]
    assert told.hear(OUTAGE, after=EVERY - 1) == []
    assert told.hear(DONE, Idle({}), after=1) == ["the outage ended after 120 s"]


def test_owners_are_logged(told: Told) -> None:
    """Take-overs, a new node id, repeated events and lost partitions have a line each."""
    taken = frozenset({PARTITION})
    assert told.hear(TakenOver(taken, 0, 7, 0.2)) == [
        "this process has node id 7",
        "took over t-3 in 0.2 s",
    ]
    assert about.node_id == 7
    assert told.hear(TakenOver(taken, 2, 7, 0.2)) == [
        "took over t-3 in 0.2 s",
        "published the events of 2 outbox rows again",
    ]
    assert told.hear(Fenced(taken, "x")) == ["no longer the owner of t-3: x"]


@pytest.mark.usefixtures("folder")
def test_a_start_says_what_is_not_the_default() -> None:
    """The first line has what is used and what differs from the defaults, without secrets."""
    given = {"VOLTPAY_KAFKA_PASSWORD": "hunter2", "VOLTPAY_LIMITS_BREAKER": "7"}
    Path("in.jsonl").touch()
    first, *_ = voltpay("consume", *LOCAL, "--batch-size", "9", env=given).stderr.splitlines()
    assert first.endswith(
        " starts: node_id auto, group voltpay-writer, source file:in.jsonl, store"
        " sqlite:voltpay.db, events file:out, batch_size 9, limits.breaker 7, kafka.password ***"
    )
