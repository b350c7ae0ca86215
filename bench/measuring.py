"""Runs everything that a plan asks for, one thing after the other, on one stack."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from functools import partial
from itertools import product
from pathlib import Path
from signal import SIGTERM
from typing import Any

import msgspec
from attrs import define, evolve, field, frozen
from tests.harness.deployment import VOLTPAY, Deployment, Program, eventually
from tests.harness.history import read_topic
from tests.harness.otlp import receiver

from bench.alone import Task, Window
from bench.figures import (
    Cell,
    Flat,
    Latency,
    Pair,
    Results,
    Run,
    Stocked,
    TakeOver,
    Watched,
    Way,
    histogram,
    rates_of_tenths,
    steady_window,
)
from bench.plan import Plan, Stock
from bench.sampling import WRITER, Sampler
from bench.stack import Stack, commits, committed_at, counters, fill, fill_tables
from voltpay_cli.exit_codes import ExitCode

_ALONE = (sys.executable, "-m", "bench.alone")
WATCHED: Mapping[str, Mapping[str, str]] = {
    "metrics": {"VOLTPAY_LISTEN": "0"},
    "traces, none sampled": {"OTEL_TRACES_SAMPLER": "always_off"},
    "traces, 1 % sampled": {"OTEL_TRACES_SAMPLER": "parentbased_always_off"},
}
"""Variables of the environment that have the writer watched."""
_WARM = 100
"""Payments that a writer has committed before a steady load begins."""
_WARM_SHARE = 0.2
"""The share of a steady load that does not count."""
_PATIENCE = 600
"""Seconds for everything that has no limit of its own."""


@frozen
class Setup:
    """How the writer runs.

    Attributes:
        group: Empty for one that has read nothing.
    """

    client: str
    batch_size: int
    commit_unit: str = "batch"
    workers: int = 1
    environment: Mapping[str, str] = field(factory=dict)
    group: str = ""

    def settings(self) -> dict[str, Any]:
        """Settings by environment."""
        named = {} if self.client == "kafka-python" else {"kafka_client": self.client}
        unit = {"batch_size": self.batch_size, "commit_unit": self.commit_unit}
        return {**named, **unit, "group": self.group or secrets.token_hex(4)}


@define
class Measurement:
    """Measures on a stack.

    Attributes:
        save: Called with the results up to now, after each figure.
        say: Called with a line about what is next.
    """

    stack: Stack
    plan: Plan
    clients: Sequence[str]
    results: Results
    save: Callable[[Results], None] = lambda _: None
    say: Callable[[str], None] = lambda _: None
    _rows: Path = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._rows = self.stack.folder / "rows"

    def everything(self) -> Results:
        """Measure all of the plan."""
        plan, accounts = self.plan, self.plan.accounts[0]
        with self._filled("load", plan.payments, accounts) as load:
            _window(self._start(load, "rows", plan.payments))
            self._warm(load)
            self._measure_pairs(load)
            self._measure_watched(load)
            self._measure_table(load, accounts)
            self._measure_take_overs(load)
        for hot in plan.accounts[1:]:
            with self._filled(f"load-{hot}", plan.payments, hot) as load:
                self._measure_table(load, hot)
        self._measure_latencies()
        if plan.flat_payments:
            with self._filled("flat", plan.flat_payments, accounts) as load:
                self._measure_flat(load)
        if plan.stock:
            self._measure_stocked(plan.stock)
        return self.results

    def _warm(self, load: Deployment) -> None:
        for number in range(self.plan.warm_runs):
            self.say(f"warm run {number + 1} of {self.plan.warm_runs}")
            client = self.clients[number % len(self.clients)]
            self._run_writer(load, Setup(client, self.plan.batch_size), self.plan.seconds)

    def _measure_pairs(self, load: Deployment) -> None:
        kinds = (("consume", (1,)), ("publish", (1,)), (WRITER, self.plan.workers))
        ways = [
            Way(name, client, workers)
            for client in self.clients
            for name, counts in kinds
            for workers in counts
        ]
        for number in range(self.plan.pairs):
            for index, way in enumerate(ways):
                self.say(f"pair {number + 1} of {self.plan.pairs}: {way.label}")
                setup = Setup(way.client, self.plan.batch_size, workers=way.workers)
                copy = self._run_alone(load, "copy", setup)
                if way.name == WRITER:
                    path = self._run_writer(load, setup, self.plan.seconds)
                else:
                    path = self._run_alone(load, way.name, setup)
                ways[index] = evolve(way, pairs=[*way.pairs, Pair(copy, path)])
            self._found(ways=ways.copy())

    def _measure_watched(self, load: Deployment) -> None:
        """What metrics and traces cost, with the first client."""
        client, found = self.clients[0], {by: Watched(self.clients[0], by) for by in WATCHED}
        plain = Setup(client, self.plan.batch_size)
        with receiver() as (address, _):
            for number in range(self.plan.pairs):
                self.say(f"round {number + 1} of {self.plan.pairs}: watched by {', '.join(found)}")
                baseline = self._run_writer(load, plain, self.plan.seconds)
                for by, variables in WATCHED.items():
                    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": address} if "traces" in by else {}
                    setup = evolve(plain, environment={**traced, **variables})
                    path = self._run_writer(load, setup, self.plan.seconds)
                    found[by] = evolve(found[by], pairs=[*found[by].pairs, Pair(baseline, path)])
        self._found(watched=[*found.values()])

    def _measure_table(self, load: Deployment, accounts: int) -> None:
        plan = self.plan
        for client, unit, size in product(self.clients, plan.commit_units, plan.batch_sizes):
            self.say(f"{accounts} accounts: {client}, commit unit {unit}, batches of {size}")
            setup = Setup(client, size, unit)
            run = self._run_writer(load, setup, plan.seconds)
            steady = None
            if accounts == plan.accounts[0] and plan.table_steady_seconds:
                steady = self._run_steady(setup, plan.steady_rate, plan.table_steady_seconds)
            cell = Cell(client, accounts, unit, size, run, steady)
            self._found(cells=[*self.results.cells, cell])

    def _measure_latencies(self) -> None:
        """At the steady rate, and at half of what one worker reaches with a full topic."""
        plan = self.plan
        peaks = {way.client: way.rate.median for way in self.results.writers() if way.workers == 1}
        for client in self.clients:
            rates = {f"{plan.steady_rate}/s": plan.steady_rate}
            if client in peaks:
                rates["half the peak"] = int(peaks[client] / 2)
            for load, rate in rates.items():
                self.say(f"latency: {client}, {load}")
                setup = Setup(client, plan.batch_size)
                if found := self._run_steady(setup, rate, plan.steady_seconds, load):
                    self._found(latencies=[*self.results.latencies, found])

    def _measure_flat(self, load: Deployment) -> None:
        for client in self.clients:
            self.say(f"{self.plan.flat_payments} payments in one go: {client}")
            setup = Setup(client, self.plan.batch_size)
            run = self._run_writer(load, setup, self.plan.flat_payments // 500 + 60)
            self._found(flat=[*self.results.flat, Flat(client, run)])

    def _measure_take_overs(self, load: Deployment) -> None:
        """A group that has read everything starts again and again; its log tells the seconds."""
        plan = self.plan
        for client in self.clients:
            self.say(f"take-overs: {client}")
            setup = Setup(client, plan.batch_size, group=secrets.token_hex(4))
            self._run_writer(load, setup, plan.seconds)
            found = TakeOver(client, plan.partitions)
            for _ in range(plan.pairs):
                program = load.consume("auto", log_format="json", **setup.settings())
                program.wait_for(partial(_has_taken_over, program), seconds=_PATIENCE)
                program.send(SIGTERM)
                _check(program, ExitCode.DONE)
                found = evolve(found, seconds=[*found.seconds, _take_over(program)])
            self._found(take_overs=[*self.results.take_overs, found])

    def _measure_stocked(self, stock: Stock) -> None:
        """One group reads on and on, first into empty tables; the last client, which is fast."""
        plan, client = self.plan, self.clients[-1]
        setup = Setup(client, plan.batch_size, group=secrets.token_hex(4))
        limit = ("--max-messages", str(plan.payments))

        def measure(tables: str, beside: AbstractContextManager[None], runs: int) -> None:
            self.say(f"tables: {tables}")
            with beside:
                found = [self._run_limited(load, setup, *limit) for _ in range(runs)]
            self._found(stocked=[*self.results.stocked, Stocked(client, tables, found)])

        count = (2 * plan.pairs + 1) * plan.payments
        with self._filled("stocked", count, plan.accounts[0]) as load:
            self.stack.empty(load)
            measure("empty", nullcontext(), plan.pairs)
            fill_tables(load, stock)
            measure("full", nullcontext(), plan.pairs)
            measure("full, beside a purge", _purging(load, stock.chunk), 1)  # a purge is quick

    def _found(self, **figures: Any) -> None:
        self.results = evolve(self.results, **figures)
        self.save(self.results)

    def _run_alone(self, load: Deployment, way: str, setup: Setup) -> Run:
        """Measure a part of the path in a process of its own."""
        self.stack.empty(load)
        before = counters(load)
        program = self._start(load, way, self.plan.payments, setup)
        with self._sampler(program) as sampler:
            window = _window(program)
        return _run(window, sampler, self.plan.payments, before, counters(load))

    def _run_writer(self, load: Deployment, setup: Setup, seconds: int) -> Run:
        """Measure `voltpay consume` as a new group on a full topic, up to a limit of time."""
        self.stack.empty(load)
        limits = ("--exit-eof", "--workers", str(setup.workers), "--timeout", str(seconds))
        return self._run_limited(load, setup, *limits)

    def _run_limited(self, load: Deployment, setup: Setup, *limits: str) -> Run:
        """Measure `voltpay consume` until it ends."""
        before, since = counters(load), time.time()
        variables = (f"{name}={value}" for name, value in setup.environment.items())
        program = load.consume(
            *("auto", *limits), program=("env", *variables, VOLTPAY), **setup.settings()
        )
        with self._sampler(program) as sampler:
            _check(program, ExitCode.DONE, ExitCode.STOPPED)
        found = commits(load, since)
        total = sum(commit.payments for commit in found)
        run = _run(Window(*steady_window(found)), sampler, total, before, counters(load))
        return evolve(run, payments_a_transaction=total / len(found), tenths=rates_of_tenths(found))

    def _run_steady(
        self, setup: Setup, rate: int, seconds: int, name: str = "steady"
    ) -> Latency | None:
        """Measure latencies on topics of their own; None if the writer cannot keep up."""
        accounts = self.plan.accounts[0]
        with self._filled(f"steady-{secrets.token_hex(4)}", _WARM, accounts) as load:
            self.stack.empty(load)
            limit = ("--timeout", str(2 * seconds + _PATIENCE))
            writer = load.consume("auto", *limit, **setup.settings())
            writer.wait_for(lambda: _claims(load) >= _WARM, seconds=_PATIENCE)
            window = _window(self._start(load, "steady", rate * seconds, setup, rate))
            try:
                eventually(lambda: _claims(load) >= _WARM + window.payments, seconds=2 * seconds)
            except AssertionError:
                return None
            finally:
                writer.send(SIGTERM)
                _check(writer, ExitCode.DONE)
            return _latency(load, setup.client, name, rate, window)

    def _start(
        self, load: Deployment, way: str, payments: int, setup: Setup | None = None, rate: int = 0
    ) -> Program:
        plan = self.plan
        setup = setup or Setup(self.clients[0], plan.batch_size)
        sizes = (payments, setup.batch_size, plan.accounts[0], plan.partitions)
        task = Task(way, *sizes, self.stack.database.superuser, str(self._rows), rate)
        argument = msgspec.json.encode(task).decode()
        return load.start(way, argument, program=_ALONE, **setup.settings())

    def _sampler(self, program: Program) -> Sampler:
        return Sampler(self.stack.parts() | {WRITER: [program.pid]})

    @contextmanager
    def _filled(self, name: str, count: int, accounts: int) -> Iterator[Deployment]:
        """Topics with this number of payments, which are removed in the end."""
        with closing(self.stack.deployment(self.plan.partitions, name)) as deployment:
            fill(deployment, count, accounts)
            yield deployment
            deployment.remove_topics()


def _run(
    window: Window, sampler: Sampler, total: int, before: Sequence[int], after: Sequence[int]
) -> Run:
    """Of the window, except what the database counted: that is the share of all payments."""
    used = sampler.cpu(window.begin, window.end)
    return Run(
        window.payments,
        window.end - window.begin,
        {part: seconds / window.payments * 1e6 for part, seconds in used.items()},
        sampler.rss(window.end),
        wal_bytes=(after[0] - before[0]) / total,
        transactions=(after[1] - before[1]) / total,
    )


def _window(program: Program) -> Window:
    _check(program, ExitCode.DONE)
    return msgspec.json.decode(program.printed().splitlines()[-1], type=Window)


def _check(program: Program, *accepted: int) -> None:
    code = program.exit_code(seconds=24 * 3600)
    if code not in accepted:
        raise SystemExit(f"bench: {program.name} ended with {code}:\n{program.printed()[-3000:]}")


def _has_taken_over(program: Program) -> bool:
    return '"took-over"' in program.printed()


def _take_over(program: Program) -> float:
    """The seconds of the first take-over, which its log tells."""
    events = (json.loads(line) for line in program.printed().splitlines() if line[:1] == "{")
    return next(float(each["seconds"]) for each in events if each.get("event") == "took-over")


@contextmanager
def _purging(load: Deployment, chunk: int) -> Iterator[None]:
    """Purge expired claims meanwhile."""
    flags = ("--force", "--older-than", "48h", "--chunk", str(chunk))
    purge = load.start("idempotency", "purge", *flags)
    try:
        yield
    finally:
        purge.send(SIGTERM)
    _check(purge, ExitCode.STOPPED)  # it was not done before


def _claims(load: Deployment) -> int:
    return load.number("SELECT count(*) FROM write.idempotency")


def _latency(load: Deployment, client: str, name: str, rate: int, window: Window) -> Latency:
    """Join what the topics and the database say of each payment that was due after the warm-up."""
    first = window.begin + _WARM_SHARE * window.payments / rate
    due = {payment: at for payment, at in _times(load, load.topics.writer) if at >= first}
    committed, appended = committed_at(load), dict(_times(load, load.topics.read))
    return Latency(
        *(client, name, rate, window.payments / (window.end - window.begin)),
        histogram(committed[payment] - at for payment, at in due.items()),
        histogram(appended[payment] - at for payment, at in due.items()),
    )


def _times(load: Deployment, topic: str) -> Iterator[tuple[str, float]]:
    """The message id of each record, and its timestamp in seconds."""
    for record in read_topic(load.group.servers, topic):
        fields = msgspec.json.decode(record.value or b"{}", type=dict[str, Any])
        yield fields.get("messageId", ""), (record.timestamp or 0) / 1000
