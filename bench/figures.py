"""What the benchmark finds: figures as values, and their statistics."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Self

from attrs import field, frozen

ROWS_A_PAYMENT = 4
"""Three tables and the claim; the outbox is not counted."""

Histogram = Mapping[int, int]
"""The number of payments by latency, in milliseconds rounded up."""


@frozen
class Spread:
    """The median of some values, between the lowest and the highest of them."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Self:
        return cls(statistics.median(values), min(values), max(values))

    def overlaps(self, other: Spread) -> bool:
        return self.low <= other.high and other.low <= self.high


@frozen
class Run:
    """One run, over the window in which all of its processes were at work.

    Attributes:
        payments: Those of the window.
        seconds: The length of the window.
        cpu: Microseconds a payment, by part of the stack: ``writer``, ``PostgreSQL``, ``brokers``,
            and ``other`` for the rest of the machine.
        rss: The resident MiB of the largest process, by seconds since the start.
        wal_bytes: A payment.
        transactions: A payment, all that the database committed.
        payments_a_transaction: Of the transactions that wrote payments.
        tenths: Payments a second in each tenth of the payments.
    """

    payments: int
    seconds: float
    cpu: Mapping[str, float]
    rss: Sequence[tuple[float, float]]
    wal_bytes: float = 0.0
    transactions: float = 0.0
    payments_a_transaction: float = 0.0
    tenths: Sequence[float] = field(factory=list)

    @property
    def rate(self) -> float:
        """Payments a second."""
        return self.payments / self.seconds

    @property
    def machine_cpu(self) -> float:
        """Microseconds a payment of all parts that belong to the stack."""
        return sum(used for part, used in self.cpu.items() if part != "other")

    @property
    def peak_rss(self) -> float:
        return max((mib for _, mib in self.rss), default=0.0)

    @property
    def last_to_second_tenth(self) -> float:
        return self.tenths[-1] / self.tenths[1] if len(self.tenths) > 1 else math.nan

    def rss_after(self, seconds: float) -> Spread | None:
        """The RSS from that time on, as shares of its first value; None if the run was shorter."""
        later = [mib for at, mib in self.rss if at >= seconds]
        return Spread.of([mib / later[0] for mib in later]) if later else None


@frozen
class Pair:
    """A baseline, such as COPY, and right after it the path that is compared with it."""

    baseline: Run
    path: Run

    @property
    def ratio(self) -> float:
        return self.path.rate / self.baseline.rate


@frozen
class Way:
    """A part of the path or all of it, by one Kafka client, in turn with COPY.

    Attributes:
        name: ``consume`` or ``publish`` alone, or ``writer``.
    """

    name: str
    client: str
    workers: int
    pairs: Sequence[Pair] = field(factory=list)

    @property
    def label(self) -> str:
        processes = "1 worker" if self.workers == 1 else f"{self.workers} workers"
        return f"{self.client}, {processes if self.name == 'writer' else f'{self.name} alone'}"

    @property
    def ratio(self) -> Spread:
        return Spread.of([pair.ratio for pair in self.pairs])

    @property
    def rate(self) -> Spread:
        return Spread.of([pair.path.rate for pair in self.pairs])

    @property
    def machine_cpu(self) -> Spread:
        return Spread.of([pair.path.machine_cpu for pair in self.pairs])

    @property
    def peak_rss(self) -> Spread:
        return Spread.of([pair.path.peak_rss for pair in self.pairs])

    def cpu(self, part: str) -> float:
        """The median of microseconds a payment."""
        return statistics.median(pair.path.cpu.get(part, 0.0) for pair in self.pairs)


@frozen
class Watched:
    """The writer with observers, and without them in the same round.

    Attributes:
        by: What observes it, in words.
    """

    client: str
    by: str
    pairs: Sequence[Pair] = field(factory=list)

    @property
    def ratio(self) -> Spread:
        """The throughput, as a share of that of the unwatched writer."""
        return Spread.of([pair.ratio for pair in self.pairs])

    @property
    def cpu(self) -> Spread:
        """The CPU of the writer's process for a payment, as a share likewise."""
        return Spread.of([p.path.cpu["writer"] / p.baseline.cpu["writer"] for p in self.pairs])


@frozen
class Latency:
    """Latencies of a steady load, from the time at which each payment was due to be sent.

    Attributes:
        load: What was due, in words: the rate alone differs from run to run.
        rate: Payments a second that were due.
        sent_rate: Payments a second that the producer reached.
        commit: Until the transaction was committed.
        event: Until the broker appended the read event.
    """

    client: str
    load: str
    rate: int
    sent_rate: float
    commit: Histogram
    event: Histogram

    @property
    def payments(self) -> int:
        return sum(self.commit.values())


@frozen
class Cell:
    """One combination of commit unit, batch size and number of accounts.

    Attributes:
        run: With a full topic.
        steady: At a steady load; None if it was not measured, or the writer could not keep up.
    """

    client: str
    accounts: int
    commit_unit: str
    batch_size: int
    run: Run
    steady: Latency | None = None


@frozen
class Flat:
    """A long run with a full topic."""

    client: str
    run: Run


@frozen
class TakeOver:
    """How long one process took to take over all partitions of a group that has offsets."""

    client: str
    partitions: int
    seconds: Sequence[float] = field(factory=list)


@frozen
class Stocked:
    """Runs of the writer by what the tables hold already.

    Attributes:
        tables: What they hold, in words; the first one is the baseline.
    """

    client: str
    tables: str
    runs: Sequence[Run] = field(factory=list)

    @property
    def rate(self) -> Spread:
        return Spread.of([run.rate for run in self.runs])


@frozen
class Results:
    """Everything that one benchmark found.

    Attributes:
        form: ``short`` or ``long``.
        machine: Its description, by name.
    """

    started: str
    form: str
    machine: Mapping[str, str]
    ways: Sequence[Way] = field(factory=list)
    cells: Sequence[Cell] = field(factory=list)
    latencies: Sequence[Latency] = field(factory=list)
    watched: Sequence[Watched] = field(factory=list)
    flat: Sequence[Flat] = field(factory=list)
    take_overs: Sequence[TakeOver] = field(factory=list)
    stocked: Sequence[Stocked] = field(factory=list)

    @property
    def copy(self) -> Spread:
        """Rows of payments that COPY alone writes a second."""
        return Spread.of([pair.baseline.rate for way in self.ways for pair in way.pairs])

    def writers(self) -> list[Way]:
        return [way for way in self.ways if way.name == "writer"]


@frozen
class Commit:
    """Payments that one transaction of one process committed, at a time in seconds."""

    node: str
    at: float
    payments: int


def steady_window(commits: Sequence[Commit]) -> tuple[float, float, int]:
    """The time in which every process was at work, and the payments committed within.

    It begins when the last process has committed for the first time, and ends when the first one
    has committed for the last time. If there is no such time, all of the time counts.

    Raises:
        ValueError: There are fewer than two commits.
    """
    times: dict[str, list[float]] = {}
    for commit in commits:
        times.setdefault(commit.node, []).append(commit.at)
    firsts, lasts = [min(one) for one in times.values()], [max(one) for one in times.values()]
    begin, end = max(firsts, default=0.0), min(lasts, default=0.0)
    if begin >= end:
        begin, end = min(firsts), max(lasts)
    if begin == end:
        raise ValueError("the run needs more payments, or smaller batches")
    return begin, end, sum(commit.payments for commit in commits if begin < commit.at <= end)


def rates_of_tenths(commits: Sequence[Commit]) -> list[float]:
    """Payments a second in each tenth of the payments; empty if there are too few commits."""
    ordered = sorted(commits, key=lambda commit: commit.at)
    total = sum(commit.payments for commit in ordered)
    ends: list[tuple[float, int]] = []
    done = 0
    for commit in ordered:
        done += commit.payments
        if done * 10 >= total * (len(ends) + 1):
            ends.append((commit.at, done))
    if len(ends) < 10:
        return []
    begins = [(ordered[0].at, ordered[0].payments), *ends]
    pairs = list(zip(begins, ends, strict=False))
    if any(end[0] <= begin[0] for begin, end in pairs):
        return []
    return [(end[1] - begin[1]) / (end[0] - begin[0]) for begin, end in pairs]


def histogram(seconds: Iterable[float]) -> dict[int, int]:
    """Count latencies by whole milliseconds, rounded up."""
    counts: dict[int, int] = {}
    for one in seconds:
        bucket = max(0, math.ceil(one * 1000))
        counts[bucket] = counts.get(bucket, 0) + 1
    return dict(sorted(counts.items()))


def percentile(counts: Histogram, percent: float) -> int:
    """The least number of milliseconds within which that many percent of the payments were done."""
    rank = max(1, math.ceil(sum(counts.values()) * percent / 100))
    for bucket, count in sorted(counts.items()):
        rank -= count
        if rank <= 0:
            return bucket
    raise ValueError("no percentile of nothing")


def value_at(times: Sequence[float], values: Sequence[float], time: float) -> float:
    """The value at a time, on the straight line between its neighbours."""
    after = next((i for i, one in enumerate(times) if one >= time), len(times) - 1)
    if after == 0 or times[after] <= time:
        return values[after]
    share = (time - times[after - 1]) / (times[after] - times[after - 1])
    return values[after - 1] + share * (values[after] - values[after - 1])
