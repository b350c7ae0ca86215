"""Simulates the writer on more machines, from what a payment costs on one."""

from __future__ import annotations

import statistics
from collections.abc import Generator, Mapping
from random import Random
from typing import Any, Self

from attrs import define, field, frozen
from simpy import Environment, Event, Resource

from bench.figures import Results, Way
from bench.report import table

Steps = Generator[Event, Any, None]

BATCH = 5000
CONNECTIONS = 8
"""Those by which a worker publishes; each can keep one core of the brokers busy."""
WAL_RATE = 250e6
"""Bytes a second that the disk of the WAL takes. Nobody has measured it."""
FULL = 0.95
"""A resource is full from this use on."""
EVEN = 0.8
"""If no resource is full, the partitions are the limit below this share of the throughput."""
SLICE = 0.05
"""Seconds after which a server takes the next job that waits."""
BEGIN, END = 5.0, 35.0
"""Seconds between which everything counts."""
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


@define(eq=False)
class _Servers:
    """Cores, or a disk: each serves one job at a time.

    Attributes:
        busy: Seconds of all of them together, within the time that counts.
    """

    world: Environment
    size: int
    busy: float = 0.0
    _queue: Resource = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._queue = Resource(self.world, self.size)

    def serve(self, seconds: float, longest: float = SLICE) -> Steps:
        """A job, in slices of at most so many seconds."""
        while seconds > 0:
            with self._queue.request() as turn:
                yield turn
                used = min(seconds, longest)
                yield self.world.timeout(used)
                self.busy += max(0.0, min(used, self.world.now - BEGIN))
            seconds -= used

    @property
    def use(self) -> float:
        """The share of their time in which they were busy."""
        return self.busy / self.size / (END - BEGIN)


def simulate(layout: Layout, costs: Costs, *, even: bool = False, seed: int = 1) -> Outcome:
    """Play half a minute.

    Args:
        even: Whether all partitions keep a level backlog. The most loaded worker never waits for
            load, and the others do. If not, no worker waits for load.
    """
    chance, world = Random(seed), Environment()
    shares = layout.shares(chance)
    most = max(range(len(shares)), key=lambda me: shares[me])
    nodes = [_Servers(world, layout.cores) for _ in range(layout.nodes)]
    database, brokers = (
        _Servers(world, cores) if cores else nodes[0]
        for cores in (layout.database_cores, layout.broker_cores)
    )
    disk = _Servers(world, 1)
    turn = 0.0  # the last one of the most loaded worker
    commits: list[list[float]] = [[] for _ in shares]

    def publish() -> list[Steps]:
        part = costs.brokers * BATCH / CONNECTIONS
        return [brokers.serve(part, longest=part) for _ in range(CONNECTIONS)]

    def write(me: int) -> Steps:
        nonlocal turn
        published: Event | None = None
        yield world.timeout(chance.random())
        due = world.now
        while True:
            begun = world.now
            yield from nodes[me % len(nodes)].serve(costs.writer * BATCH)
            yield from database.serve(costs.database * BATCH)
            yield from disk.serve(costs.wal * BATCH / WAL_RATE)
            if world.now > BEGIN:
                commits[me].append(world.now)
            before, published = published, world.all_of([world.process(part) for part in publish()])
            if before:
                yield before
            if me == most:
                turn = world.now - begun
            elif even:
                due += turn * shares[most] / shares[me]
                yield world.timeout(max(0.0, due - world.now))

    for me in range(len(shares)):
        world.process(write(me))
    world.run(until=END)
    rates = [BATCH * (len(times) - 1) / (times[-1] - times[0]) for times in commits]
    used = (max(each.use for each in of) for of in (nodes, [database], [brokers], [disk]))
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
