"""Compares two results: each figure of the new ones as a ratio to the old."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from bench.figures import Results, Spread, percentile


@frozen
class Change:
    """A figure in both results.

    Attributes:
        name: What was measured.
        higher_is_better: Whether less of it is a regression.
    """

    name: str
    old: Spread
    new: Spread
    higher_is_better: bool

    @property
    def ratio(self) -> float:
        """New to old, of the medians."""
        return self.new.median / self.old.median

    def is_regression(self, tolerance: float) -> bool:
        """Worse by more than this share, and outside of what the old runs spread over."""
        worse = 1 / self.ratio if self.higher_is_better else self.ratio
        return worse > 1 + tolerance and not self.new.overlaps(self.old)

    def told(self, tolerance: float) -> str:
        """A line about it."""
        verdict = "  REGRESSION" if self.is_regression(tolerance) else ""
        return f"{self.ratio:6.2f}  {self.name}{verdict}"


def changes(old: Results, new: Results) -> list[Change]:
    """Every figure that both results have; throughput as shares of COPY in the same results."""
    before = {name: (spread, higher) for name, spread, higher in _figures(old)}
    return [
        Change(name, before[name][0], spread, higher)
        for name, spread, higher in _figures(new)
        if name in before and before[name][0].median > 0 and spread.median > 0
    ]


def different_machines(old: Results, new: Results) -> list[str]:
    """What differs in the descriptions of the machines."""
    return [
        f"{name}: {old.machine.get(name, '-')} before, {new.machine.get(name, '-')} now"
        for name in {**old.machine, **new.machine}
        if name != "free disk" and old.machine.get(name) != new.machine.get(name)
    ]


def _figures(results: Results) -> Iterator[tuple[str, Spread, bool]]:
    """Name, value, and whether more is better."""
    for way in results.ways:
        yield f"{way.label}: throughput, of COPY", way.ratio, True
        yield f"{way.label}: CPU a payment", way.machine_cpu, False
        yield f"{way.label}: peak RSS", way.peak_rss, False
    copy = results.copy.median if results.ways else 1.0
    for cell in results.cells:
        name = (
            f"{cell.client}, {cell.accounts} accounts, commit unit {cell.commit_unit},"
            f" batches of {cell.batch_size}"
        )
        yield f"{name}: throughput, of COPY", _single(cell.run.rate / copy), True
        yield f"{name}: WAL bytes a payment", _single(cell.run.wal_bytes), False
    for watched in results.watched:
        name = f"{watched.client}, watched by {watched.by}: CPU, of the unwatched"
        yield name, watched.cpu, False
    for one in results.latencies:
        for name, counts in (("commit", one.commit), ("event", one.event)):
            p99 = _single(percentile(counts, 99))
            yield f"{one.client}, {one.load}: milliseconds until the {name}, p99", p99, False
    for flat in results.flat:
        name = f"{flat.client}, a long run: last tenth, of the second"
        yield name, _single(flat.run.last_to_second_tenth), True


def _single(value: float) -> Spread:
    return Spread(value, value, value)
