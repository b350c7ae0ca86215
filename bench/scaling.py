"""Simulates the writer on more machines, from what a payment costs on one."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from random import Random
from typing import Self

from attrs import frozen

from bench.figures import Results, Way
from bench.queueing import Process, Servers, Simulation
from bench.report import table

BATCH = 5000
CONNECTIONS = 8
"""Those by which a worker publishes; each can keep one core of the brokers busy."""
WAL_RATE = 250e6
"""Bytes a second that the disk of the WAL takes. Nobody has measured it."""
FULL = 0.95
"""A resource is full from this use on."""
EVEN = 0.8
"""If no resource is full, the partitions are the limit below this share of the throughput."""
RESOURCES = ("nodes", "database", "brokers", "WAL")


@frozen
class Costs:
    """Of a payment: seconds of CPU, and bytes of WAL."""

    writer: float
    database: float
    brokers: float
    wal: float

    @classmethod
    def of(cls, way: Way) -> Self:
        """The medians of its pairs."""
        return cls(
            *(way.cpu("writer") / 1e6, way.cpu("PostgreSQL") / 1e6, way.cpu("brokers") / 1e6),
            statistics.median(pair.path.wal_bytes for pair in way.pairs),
        )


@frozen
class Layout:
    """How much there is of each.

    Attributes:
        cores: Of each node.
        database_cores: 0 if the database uses those of the first node.
        broker_cores: Of all brokers; 0 likewise.
        hot: Whether ten more accounts have half of the load.
    """

    nodes: int
    cores: int
    workers: int
    partitions: int = 100
    database_cores: int = 0
    broker_cores: int = 0
    hot: bool = False

    @property
    def shared(self) -> bool:
        return not (self.database_cores or self.broker_cores)

    def shares(self, chance: Random) -> list[float]:
        """The share of the load of each worker that has a partition."""
        accounts = [1.0] * 10_000 + [1000.0] * (10 if self.hot else 0)
        loads = [0.0] * self.partitions
        for load in accounts:
            loads[chance.randrange(self.partitions)] += load
        owners = range(min(self.workers, self.partitions))
        return [sum(loads[owner :: self.workers]) / sum(accounts) for owner in owners]


LAYOUTS = (
    Layout(1, 2, 1),
    Layout(1, 2, 2),
    Layout(1, 2, 1, 100, 2, 2),
    Layout(1, 2, 4, 100, 2, 2),
    Layout(2, 2, 4, 100, 2, 2),
    Layout(2, 2, 4, 100, 2, 6),
    Layout(3, 4, 10, 100, 4, 8),
    Layout(3, 4, 10, 12, 4, 8),
    Layout(3, 4, 10, 100, 4, 8, hot=True),
    Layout(3, 4, 14, 100, 2, 8),
    Layout(3, 4, 14, 100, 4, 12),
    Layout(6, 4, 20, 100, 8, 16),
)


@frozen
class Outcome:
    """Payments a second, and the used share of each resource."""

    rate: float
    use: Mapping[str, float]

    @property
    def full(self) -> str | None:
        """The resource that is full, if one is."""
        name = max(self.use, key=lambda one: self.use[one])
        return name if self.use[name] >= FULL else None


def simulate(layout: Layout, costs: Costs, *, even: bool = False, seed: int = 1) -> Outcome:
    """Play a minute.

    Args:
        even: Whether all partitions keep a level backlog. The most loaded worker never waits for
            load, and the others do. If not, no worker waits for load.
    """
    chance, simulation = Random(seed), Simulation(begin=5.0, end=65.0)
    shares = layout.shares(chance)
    workers = range(len(shares))
    most = max(workers, key=lambda me: shares[me])
    nodes = [Servers(layout.cores) for _ in range(layout.nodes)]
    database = Servers(layout.database_cores) if layout.database_cores else nodes[0]
    brokers = Servers(layout.broker_cores) if layout.broker_cores else nodes[0]
    disk, load = Servers(1), Servers(len(shares))
    turn = 0.0  # the last one of the most loaded worker
    publishing = [0 for _ in workers]
    commits: list[list[float]] = [[] for _ in workers]

    def write(me: int) -> Process:
        nonlocal turn
        yield load, chance.random()
        due = simulation.now
        while True:
            begun = simulation.now
            yield nodes[me % len(nodes)], costs.writer * BATCH
            yield database, costs.database * BATCH
            yield disk, costs.wal * BATCH / WAL_RATE
            if simulation.now > simulation.begin:
                commits[me].append(simulation.now)
            publishing[me] += CONNECTIONS
            for _ in range(CONNECTIONS):
                simulation.go_on(publish(me))
            if publishing[me] > CONNECTIONS:
                yield None
            if me == most:
                turn = simulation.now - begun
            elif even:
                due += turn * shares[most] / shares[me]
                yield load, max(0.0, due - simulation.now)

    def publish(me: int) -> Process:
        yield brokers, costs.brokers * BATCH / CONNECTIONS
        publishing[me] -= 1
        if publishing[me] == CONNECTIONS:  # one of two batches is published
            simulation.go_on(writing[me])

    writing = [write(me) for me in workers]
    for process in writing:
        simulation.go_on(process)
    simulation.run()
    rates = [BATCH * (len(times) - 1) / (times[-1] - times[0]) for times in commits]
    used = (max(map(simulation.use, of)) for of in (nodes, [database], [brokers], [disk]))
    rate = rates[most] / shares[most] if even else sum(rates)
    return Outcome(rate, dict(zip(RESOURCES, used, strict=True)))


def scaling(results: Results) -> str:
    """What is simulated, beside what is measured; empty if a way was not measured that it needs."""
    ways = {way.workers: way for way in results.writers() if way.client == "confluent"}
    if 1 not in ways:
        return ""
    costs = Costs.of(ways[1])
    outcomes = {layout: simulate(layout, costs) for layout in LAYOUTS}
    head = (
        *("nodes x cores", "workers", "partitions", "database cores", "broker cores"),
        *("payments/s", *RESOURCES, "even load", "full first"),
    )
    lines = (
        f"- {way.label}: simulated {outcome.rate:,.0f} payments/s, measured {way.rate.median:,.0f}"
        f" ({way.rate.low:,.0f} to {way.rate.high:,.0f}). The simulated figure is"
        f" {outcome.rate / way.rate.median:.2f} of the measured one."
        for layout, outcome in outcomes.items()
        if layout.shared and (way := ways.get(layout.workers))
    )
    told = (
        f"Costs of a payment, measured on {results.started}: {costs.writer * 1e6:.0f} µs of the"
        f" writer, {costs.database * 1e6:.0f} µs of PostgreSQL, {costs.brokers * 1e6:.0f} µs of the"
        f" brokers, {costs.wal:,.0f} bytes of WAL."
    )
    rows = (_row(layout, costs, full) for layout, full in outcomes.items())
    return "\n\n".join((told, table(head, rows), "\n".join(lines)))


def _row(layout: Layout, costs: Costs, full: Outcome) -> list[str]:
    even = simulate(layout, costs, even=True)
    idle = even.rate < EVEN * full.rate
    return [
        f"{layout.nodes} x {layout.cores}",
        str(layout.workers),
        f"{layout.partitions}, hot accounts" if layout.hot else str(layout.partitions),
        *(str(n or "shared") for n in (layout.database_cores, layout.broker_cores)),
        f"{full.rate:,.0f}",
        *(f"{100 * full.use[name]:.0f} %" for name in RESOURCES),
        f"{100 * even.rate / full.rate:.0f} %",
        full.full or ("partitions" if idle else "workers"),
    ]
