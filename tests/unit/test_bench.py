"""The pure parts of the benchmark: its statistics, comparison and report."""

import math
from pathlib import Path
from random import Random

import msgspec
import pytest
from attrs import evolve
from bench.__main__ import PICTURES, SCALING_PAGE, main, save
from bench.comparing import changes, different_machines
from bench.figures import (
    Cell,
    Commit,
    Flat,
    Latency,
    Pair,
    Results,
    Run,
    Spread,
    Stocked,
    TakeOver,
    Way,
    histogram,
    percentile,
    rates_of_tenths,
    steady_window,
    value_at,
)
from bench.report import BEGIN, END, insert, report
from bench.scaling import LAYOUTS, Costs, Layout, scaling, simulate

RUN = Run(
    *(6000, 2.0, {"writer": 100.0, "PostgreSQL": 60.0, "brokers": 40.0, "other": 9.0}),
    rss=[(0.0, 50.0), (60.0, 100.0), (120.0, 104.0), (180.0, 95.0)],
    wal_bytes=1500.0,
    payments_a_transaction=5.0,
    tenths=[100.0, 200.0, *[190.0] * 7, 150.0],
)
COPY = evolve(RUN, seconds=0.2)
STEADY = Latency("kafka-python", "1000/s", 1000, 999.0, {5: 98, 9: 1, 40: 1}, {7: 99, 50: 1})
RESULTS = Results(
    *("2026-11-28", "short", {"CPU": "one of some kind", "free disk": "9 GiB"}),
    ways=[Way("writer", "kafka-python", 2, [Pair(COPY, RUN)] * 3)],
    cells=[
        Cell("kafka-python", 500, unit, size, RUN, STEADY)
        for unit in ("account", "batch")
        for size in (100, 5000)
    ],
    latencies=[STEADY],
    flat=[Flat("kafka-python", RUN)],
    take_overs=[TakeOver("kafka-python", 100, [0.5, 0.25, 0.75])],
    stocked=[Stocked("confluent", "empty", [COPY]), Stocked("confluent", "full", [RUN])],
)

COSTS = Costs(writer=50e-6, database=15e-6, brokers=45e-6, wal=1000.0)
ENDLESS = 1000
"""Cores of which no worker of a test waits for one."""


def slower(results: Results, factor: float) -> Results:
    path = evolve(RUN, seconds=RUN.seconds * factor)
    return evolve(results, ways=[evolve(results.ways[0], pairs=[Pair(COPY, path)] * 3)])


def test_a_pair_is_a_ratio_to_its_own_copy() -> None:
    """The ratio of a way is the median of its pairs' ratios, with the lowest and the highest."""
    pairs = [Pair(evolve(COPY, seconds=0.1 * n), RUN) for n in (1, 2, 4)]
    assert Way("writer", "kafka-python", 1, pairs).ratio == Spread(0.1, 0.05, 0.2)


def test_the_steady_window_has_every_process_at_work() -> None:
    """It lasts from the last first commit to the first last one, and counts what lies within."""
    commits = [
        Commit("000", 1.0, 10),
        Commit("000", 2.0, 20),
        Commit("001", 2.5, 5),
        Commit("000", 3.0, 40),
        Commit("001", 4.0, 80),
        Commit("001", 5.0, 160),
        Commit("000", 4.5, 320),
    ]
    assert steady_window(commits) == (2.5, 4.5, 40 + 80 + 320)


def test_without_a_steady_window_all_of_the_time_counts() -> None:
    """If one process had ended before another one began, the figure is not better than it was."""
    commits = [Commit("000", 1.0, 10), Commit("001", 2.0, 20), Commit("001", 5.0, 40)]
    assert steady_window(commits) == (1.0, 5.0, 60)
    with pytest.raises(ValueError, match="more payments"):
        steady_window(commits[:1])


def test_tenths_are_of_the_payments() -> None:
    """Each tenth of the payments has its own rate: here the last one takes twice as long."""
    commits = [Commit("000", float(n), 10) for n in range(1, 100)] + [Commit("000", 101.0, 10)]
    rates = rates_of_tenths(commits)
    assert rates[0] == rates[1] == 10
    assert len(rates) == 10
    assert evolve(RUN, tenths=rates).last_to_second_tenth == pytest.approx(100 / 11 / 10)
    assert rates_of_tenths(commits[:5]) == []
    assert math.isnan(evolve(RUN, tenths=[]).last_to_second_tenth)


def test_memory_after_a_minute_is_compared_with_that_minute() -> None:
    """The RSS from then on is a share of its value at that time."""
    assert RUN.rss_after(60) == Spread(1.0, 0.95, 1.04)
    assert RUN.rss_after(600) is None


def test_percentiles_are_never_better_than_the_payments() -> None:
    """A percentile is the latency, rounded up, within which at least that share was done."""
    counts = histogram([0.0101, 0.002, 0.0015, 0.5, -0.001])
    assert counts == {0: 1, 2: 2, 11: 1, 500: 1}
    assert [percentile(counts, p) for p in (20, 21, 60, 61, 80, 99.9)] == [0, 2, 2, 11, 11, 500]
    with pytest.raises(ValueError, match="nothing"):
        percentile({}, 50)


def test_values_between_samples_are_on_a_line() -> None:
    """Between two samples the CPU time grows evenly; outside of all samples it stands still."""
    times, values = [1.0, 2.0, 4.0], [10.0, 20.0, 60.0]
    assert [value_at(times, values, at) for at in (0.0, 1.5, 2.0, 3.0, 9.0)] == [10, 15, 20, 40, 60]


def test_results_survive_their_file() -> None:
    """What is written as JSON is read as the same results."""
    assert msgspec.json.decode(msgspec.json.encode(RESULTS), type=Results) == RESULTS


def test_results_do_not_regress_against_themselves() -> None:
    """Every figure is found again, with the ratio 1."""
    found = changes(RESULTS, RESULTS)
    assert {change.ratio for change in found} == {1.0}
    assert not any(change.is_regression(0.0) for change in found)
    assert len({change.name for change in found}) == len(found) == 3 + 8 + 2 + 1


def test_a_regression_is_told_as_a_ratio() -> None:
    """Half of the throughput is a regression, and twice as much is none."""
    name = "kafka-python, 2 workers: throughput, of COPY"
    (worse,) = (change for change in changes(RESULTS, slower(RESULTS, 2)) if change.name == name)
    assert worse.is_regression(0.1)
    assert worse.told(0.1) == f"  0.50  {name}  REGRESSION"
    assert not any(c.is_regression(0.1) for c in changes(slower(RESULTS, 2), RESULTS))


def test_a_comparison_fails_for_a_regression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench compare OLD NEW` ends with 1 if something regressed, and with 0 if not."""
    old, new = tmp_path / "old.json", tmp_path / "new.json"
    save(RESULTS, old)
    save(slower(RESULTS, 2), new)
    for paths, code in (((old, new), 1), ((new, old), 0)):
        monkeypatch.setattr("sys.argv", ["bench", "compare", *map(str, paths)])
        assert main() == code
        assert ("REGRESSION" in capsys.readouterr().out) == bool(code)


def test_what_spreads_is_no_regression() -> None:
    """A median that is worse, of runs that overlap with the old ones, proves nothing."""
    (old,) = RESULTS.ways
    pairs = [Pair(COPY, evolve(RUN, seconds=n)) for n in (1.9, 3.0, 3.1)]
    found = changes(RESULTS, evolve(RESULTS, ways=[evolve(old, pairs=pairs)]))
    assert not any(change.is_regression(0.1) for change in found if "workers" in change.name)


def test_more_cpu_is_worse() -> None:
    """A figure of which less is better regresses when it grows."""
    heavy = Pair(COPY, evolve(RUN, cpu={"writer": 400.0}))
    found = changes(RESULTS, evolve(RESULTS, ways=[evolve(RESULTS.ways[0], pairs=[heavy])]))
    regressed = [change.name for change in found if change.is_regression(0.1)]
    assert regressed == ["kafka-python, 2 workers: CPU a payment"]


def test_another_machine_is_named() -> None:
    """Figures of another machine are not compared in silence; its free disk does not matter."""
    other = evolve(RESULTS, machine={"CPU": "another", "free disk": "8 GiB"})
    assert different_machines(RESULTS, RESULTS) == []
    assert different_machines(RESULTS, other) == ["CPU: one of some kind before, another now"]


def test_the_report_has_every_figure() -> None:
    """Each kind of figure has a table; the rows of a table have as many cells as its head."""
    text = report(RESULTS, {"Memory": "memory.svg"})
    for line in (
        "| kafka-python, 2 workers | 3,000 (3,000 to 3,000) | 0.10 (0.10 to 0.10) | 104 | 1,500 |",
        "| kafka-python, 2 workers | 100 | 60 | 40 | 200 (200 to 200) | 9 |",
        "| account | 20 | 20 |",
        "| batch | 5 / 9 | 5 / 9 |",
        "| kafka-python | 1,000 | 999 | 100 | 5 | 9 | 40 | 7 | 7 | 50 |",
        "| kafka-python | 6,000 | 3,000 | 0.95 to 1.04 | 0.75 |",
        "| kafka-python | 100 | 0.50 (0.25 to 0.75) |",
        "| confluent, full | 3,000 (3,000 to 3,000) | 0.10 |",
        "![Memory](memory.svg)",
    ):
        assert line in text
    for table in (block for block in text.split("\n\n") if block.startswith("|")):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table


def test_a_report_of_little_is_short() -> None:
    """What was not measured has no table."""
    text = report(Results("2026-11-28", "short", {}), {})
    assert "##" not in text


def test_figures_are_replaced_between_their_marks(tmp_path: Path) -> None:
    """The rest of a document stays as it is, however often its figures are replaced."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{BEGIN}\n\nold\n\n{END}\n\nafter\n")
    for text in ("new", "newer"):
        insert(page, text)
    assert page.read_text() == f"before\n\n{BEGIN}\n\nnewer\n\n{END}\n\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="needs the lines"):
        insert(page, "new")


@pytest.mark.parametrize("even", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_resource_is_used_above_its_capacity(layout: Layout, even: bool) -> None:
    """All use is between nothing and everything, and fits the payments that were written."""
    costs = evolve(COSTS, wal=0.0)
    found = simulate(layout, costs, even=even)
    assert all(0 <= use <= 1 + 1e-9 for use in found.use.values())
    if not layout.shared and not even:
        used = found.rate * costs.database / layout.database_cores
        assert found.use["database"] == pytest.approx(used, rel=0.02)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_twice_as_much_of_all_is_not_slower(layout: Layout) -> None:
    """Twice the nodes, workers, partitions and cores write as much as before, or more."""
    twice = Layout(
        *(2 * layout.nodes, 2 * layout.cores, 2 * layout.workers, 2 * layout.partitions),
        *(2 * layout.database_cores, 2 * layout.broker_cores, layout.hot),
    )
    assert simulate(twice, COSTS).rate >= 0.99 * simulate(layout, COSTS).rate


def test_a_worker_alone_takes_the_time_of_its_steps() -> None:
    """Without a queue, a payment takes writer, database and disk; the brokers work meanwhile."""
    alone = Layout(1, ENDLESS, 1, 100, ENDLESS, ENDLESS)
    costs = evolve(COSTS, wal=0.0)
    assert simulate(alone, costs).rate == pytest.approx(1 / 65e-6)
    assert simulate(alone, COSTS).rate == pytest.approx(1 / (65e-6 + 1000 / 250e6))
    assert simulate(alone, costs, even=True).rate == pytest.approx(1 / 65e-6)


@pytest.mark.parametrize(
    ("layout", "costs", "rate", "full"),
    [
        (Layout(1, 2, 9, 100, ENDLESS, ENDLESS), COSTS, 2 / 50e-6, "nodes"),
        (Layout(9, 1, 9, 100, 1, ENDLESS), COSTS, 1 / 15e-6, "database"),
        (Layout(1, 1, 1, 100, 1, 1), evolve(COSTS, brokers=90e-6), 1 / 90e-6, "brokers"),
        (Layout(9, 1, 9, 100, 9, ENDLESS), evolve(COSTS, wal=1e4), 250e6 / 1e4, "WAL"),
        (Layout(1, 2, 9), COSTS, 2 / 110e-6, "nodes"),
    ],
)
def test_what_is_full_bounds_the_throughput(
    layout: Layout, costs: Costs, rate: float, full: str
) -> None:
    """A resource that is full does nothing else than the payments that are written."""
    found = simulate(layout, costs)
    assert found.full == full
    assert found.rate == pytest.approx(rate, rel=0.03)


def test_workers_without_a_partition_are_idle() -> None:
    """More workers than partitions write as much as one for each partition."""
    few, many = (Layout(1, ENDLESS, n, 4, ENDLESS, ENDLESS) for n in (4, 40))
    assert simulate(many, COSTS) == simulate(few, COSTS)


@pytest.mark.parametrize("hot", [False, True])
def test_the_most_loaded_worker_bounds_an_even_load(hot: bool) -> None:
    """If no worker waits for servers, an even load is the mean worker's share of the largest."""
    layout = Layout(1, ENDLESS, 8, 100, ENDLESS, ENDLESS, hot)
    costs = evolve(COSTS, wal=0.0)
    shares = layout.shares(Random(1))
    assert sum(shares) == pytest.approx(1)
    left = simulate(layout, costs, even=True).rate / simulate(layout, costs).rate
    assert left == pytest.approx(1 / 8 / max(shares))
    assert (left < 0.8) == hot


def test_a_simulation_is_the_same_again() -> None:
    """A seed and a layout have one outcome."""
    layout = LAYOUTS[-1]
    assert simulate(layout, COSTS, seed=2) == simulate(layout, COSTS, seed=2)
    assert simulate(layout, COSTS, even=True) != simulate(layout, COSTS, even=True, seed=2)


def test_the_documentation_has_the_simulation_of_its_results(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench scale RESULTS` prints what the page says; if not, `bench document` writes it."""
    monkeypatch.setattr("sys.argv", ["bench", "scale", str(PICTURES / "results.json")])
    assert main() == 0
    page = SCALING_PAGE.read_text("utf-8")
    assert f"{BEGIN}\n\n{capsys.readouterr().out}\n{END}" in page


def test_without_its_costs_nothing_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Results without one worker with librdkafka have no simulation, and the command fails."""
    assert scaling(RESULTS) == ""
    save(RESULTS, tmp_path / "results.json")
    monkeypatch.setattr("sys.argv", ["bench", "scale", str(tmp_path / "results.json")])
    assert main() == 1
