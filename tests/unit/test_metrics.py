"""The metrics of a writer: what its notices add up to, and the labels that are always there."""

import ast
from collections.abc import Iterator
from contextlib import closing

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.sqlite import SqliteHarness
from tests.harness.stack.places import ROOT
from tests.harness.world import Patience, RunOptions, World
from tests.unit.test_notices import filled

from voltpay_adapters.metrics import TARGETS, WriterMetrics
from voltpay_adapters.testing.faults import Faults, unavailable
from voltpay_core.codec import Topics
from voltpay_core.errors import DEAD_LETTER_CODES, Fenced, Unavailable
from voltpay_core.notices import (
    BatchDone,
    Idle,
    Polled,
    Published,
    RejectionsCounted,
    Retrying,
    TakenOver,
)
from voltpay_core.outcomes import Tally
from voltpay_core.records import Partition, ProducerRecord

NOW = 1_800_000_000.0
OWNED = [Partition("payments", number) for number in range(3)]
AT_START: dict[str, set[tuple[str, ...]]] = {
    "voltpay_records_total": {(outcome,) for outcome in ("written", "duplicate", "dead_letter")}
    | {("warm_up",)},
    "voltpay_dead_letters_total": {(code,) for code in DEAD_LETTER_CODES},
    "voltpay_events_total": {
        (kind, repeat) for kind in ("read", "email", "dead_letter") for repeat in ("true", "false")
    },
    "voltpay_step_seconds_count": {
        (step,) for step in ("poll", "decode", "write", "publish", "acknowledge", "take_over")
    },
    "voltpay_retries_total": {
        (target,) for target in ("kafka", "database", "file", "group", "other")
    },
}
"""The label values that every writer has, before anything has happened."""


@pytest.fixture
def metrics() -> WriterMetrics:
    return WriterMetrics(Topics(), "a-group", lambda: NOW)


def samples(metrics: WriterMetrics) -> dict[str, dict[tuple[str, ...], float]]:
    """The values by name and by the values of the labels, in the order of their names."""
    found: dict[str, dict[tuple[str, ...], float]] = {}
    for family in text_string_to_metric_families(metrics.exposition().decode()):
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def value(metrics: WriterMetrics, name: str, *labels: str) -> float:
    return samples(metrics)[f"voltpay_{name}"][labels]


def tallied(metrics: WriterMetrics) -> Tally:
    """The tally that the counters show."""
    found = samples(metrics)
    records = found["voltpay_records_total"]
    written, duplicates, dead_letters, warm_ups = (
        int(records[outcome,]) for outcome in ("written", "duplicate", "dead_letter", "warm_up")
    )
    events = int(sum(found["voltpay_events_total"].values()))
    return Tally(written, duplicates, dead_letters, warm_ups, events)


@pytest.mark.parametrize("name", AT_START)
def test_every_label_is_there_from_the_start(metrics: WriterMetrics, name: str) -> None:
    """A series that begins with its first increment hides that increment from `rate`."""
    assert samples(metrics)[name] == dict.fromkeys(AT_START[name], 0)


def test_the_counters_add_up_to_the_tally() -> None:
    """The counters are the tally; after a failure the records still are, and no event is lost."""

    def run(faults: Faults) -> tuple[Tally, Tally, int]:
        metrics = WriterMetrics(Topics(), "a-group")
        with closing(SqliteHarness()) as harness:
            world = filled(World(harness))
            process = world.process(RunOptions(batch_size=3), faults=faults, notify=metrics)
            total = process.run(Patience(), until_drained=True)
            codes = samples(metrics)["voltpay_dead_letters_total"]
            assert sum(codes.values()) == codes["bad-json",] == total.dead_letters
            return tallied(metrics), total, len(set(world.published))

    whole = Faults()
    shown, total, events = run(whole)
    assert shown == total
    for step in range(len(whole.trace)):
        shown, total, events = run(Faults({step: unavailable}))
        assert (shown.records, shown.written) == (total.records, total.written)
        assert shown.events >= events


def test_each_batch_is_measured_once() -> None:
    """Each batch has one observation of its size and steps; each unit has one of its write."""
    metrics = WriterMetrics(Topics(), "a-group")
    with closing(SqliteHarness()) as harness:
        world = filled(World(harness))
        way = RunOptions(batch_size=4, commit_unit=1)
        world.process(way, notify=metrics).run(Patience(), until_drained=True)
    found = samples(metrics)
    steps = found["voltpay_step_seconds_count"]
    assert {steps[step,] for step in ("poll", "decode", "acknowledge")} == {2}
    assert steps["write",] > 2
    assert (found["voltpay_batch_records_count"][()], found["voltpay_batch_records_sum"][()]) == (
        2,
        6,
    )


def test_only_the_own_partitions_have_a_lag(metrics: WriterMetrics) -> None:
    """The lag is that of the last notice; a partition that is gone is gone at once."""
    assert value(metrics, "partitions") == 0
    metrics(Idle({OWNED[0]: 7, OWNED[1]: 0}))
    assert samples(metrics)["voltpay_lag_records"] == {("0",): 7, ("1",): 0}
    metrics(BatchDone(Tally(), {OWNED[2]: 5}, 0.1))
    assert samples(metrics)["voltpay_lag_records"] == {("2",): 5}
    assert value(metrics, "partitions") == 1


@pytest.mark.parametrize(
    "sign",
    [Idle({}), BatchDone(Tally(), {}, 0), TakenOver(frozenset(), 0, 1, 0), Polled([], None, 0)],  # type: ignore[arg-type]
)
def test_an_outage_lasts_until_something_succeeds(
    metrics: WriterMetrics, sign: Idle | BatchDone | TakenOver | Polled
) -> None:
    """The gauge is 1 from the first retry until any sign of success."""
    metrics(Retrying(Unavailable("x"), 2, 0.2))
    metrics(Fenced((), "x"))
    assert value(metrics, "outage") == 1
    metrics(sign)
    assert value(metrics, "outage") == 0


def test_what_happens_seldom_is_counted(metrics: WriterMetrics) -> None:
    """Take-overs, fences, retries, repeats, refusals and progress each have their own metric."""
    metrics(TakenOver(frozenset(OWNED), 2, 7, 0.1))
    metrics(Fenced((), "x"))
    for code in ("kafka", "no-broker", "database", "fenced", "whatever"):
        metrics(Retrying(Unavailable("x", code=code), 2, 0.2))
    letters = [
        ProducerRecord(Topics().dead_letter, None, b"x"),
        ProducerRecord("former", None, b""),
    ]
    metrics(Published(letters, repeat=True, seconds=0.1))
    metrics(RejectionsCounted(3, 20))
    assert value(metrics, "last_progress_timestamp_seconds") == 0
    metrics(Idle({}))
    assert value(metrics, "last_progress_timestamp_seconds") == NOW
    assert value(metrics, "take_overs_total") == value(metrics, "fenced_total") == 1
    for target, count in {"kafka": 2, "database": 1, "file": 0, "group": 1, "other": 1}.items():
        assert value(metrics, "retries_total", target) == count
    assert value(metrics, "events_total", "dead_letter", "true") == 1
    assert sum(samples(metrics)["voltpay_events_total"].values()) == 1
    assert value(metrics, "breaker_refusals") == 3
    assert value(metrics, "writer_info", "a-group", "007") == 1


def test_the_memory_of_the_process_is_told(metrics: WriterMetrics) -> None:
    """The standard metrics of a process are there, for the alert of memory."""
    assert samples(metrics)["process_resident_memory_bytes"][()] > 1e6


def transient_codes() -> Iterator[tuple[str, list[str]]]:
    """Each place of an adapter that raises `Unavailable` without ``halt``, and its codes."""
    for package in ("confluent", "kafka", "local", "postgres"):
        for path in ROOT.glob(f"src/voltpay_adapters/{package}/**/*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                match node:
                    case ast.Call(func=ast.Name(id="Unavailable"), keywords=keywords):
                        given = {each.arg: each.value for each in keywords}
                        halt = given.get("halt")
                        if not (isinstance(halt, ast.Constant) and halt.value):
                            code = given.get("code", ast.Constant("unavailable"))
                            names = [
                                str(each.value)
                                for each in ast.walk(code)
                                if isinstance(each, ast.Constant)
                            ]
                            yield f"{path.name}:{node.lineno}", names


NOT_OF_THE_WRITER = {"kafka-credentials", "no-database-file", "outbox-waits"}
"""The first is raised only with ``halt``, the others by other commands."""


def test_each_retry_has_a_target() -> None:
    """What an adapter raises to be retried has a code that tells the system."""
    known = TARGETS.keys() | NOT_OF_THE_WRITER
    assert [found for found in transient_codes() if not known >= set(found[1])] == []
