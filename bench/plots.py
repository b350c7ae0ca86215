"""Draws results as SVG pictures, which are the same for the same results."""

from __future__ import annotations

from collections.abc import Callable
from itertools import accumulate, groupby
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.figures import Cell, Results
from bench.report import PARTS

mpl.rcParams["svg.hashsalt"] = "voltpay"
mpl.rcParams["svg.fonttype"] = "none"

_COLOURS = dict(zip(PARTS, ("C0", "C1", "C2", "lightgrey"), strict=True))
_Drawing = Callable[[Axes, Results], None]


def draw(results: Results, folder: Path) -> dict[str, str]:
    """Draw what the results have into a folder, and return the name of each file by its title."""
    folder.mkdir(parents=True, exist_ok=True)
    found: dict[str, str] = {}
    for title, (name, there, drawing) in _DRAWINGS.items():
        if there(results):
            figure = Figure(figsize=(8, 4), layout="constrained")
            axes = figure.add_subplot()
            drawing(axes, results)
            axes.set_title(title)
            axes.grid(visible=True, axis="y", alpha=0.3)
            figure.savefig(folder / name, metadata={"Date": None})
            found[title] = name
    return found


def _batch_sizes(axes: Axes, results: Results) -> None:
    def series(cell: Cell) -> tuple[str, int, str]:
        return cell.client, cell.accounts, cell.commit_unit

    sizes = sorted({cell.batch_size for cell in results.cells})
    for (client, accounts, unit), group in groupby(sorted(results.cells, key=series), series):
        cells = sorted(group, key=lambda cell: cell.batch_size)
        axes.plot(
            [cell.batch_size for cell in cells],
            [cell.run.rate for cell in cells],
            marker="o",
            linestyle="-" if accounts == results.cells[0].accounts else "--",
            label=f"{client}, {unit}, {accounts} accounts",
        )
    axes.set_xscale("log")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
    axes.set(xlabel="records a batch", ylabel="payments/s", ylim=(0, None))
    axes.legend(fontsize="x-small", ncols=2)


def _workers(axes: Axes, results: Results) -> None:
    writers = sorted(results.writers(), key=lambda way: (way.client, way.workers))
    for client, group in groupby(writers, lambda way: way.client):
        ways = list(group)
        middle = [way.ratio.median for way in ways]
        below = [way.ratio.median - way.ratio.low for way in ways]
        above = [way.ratio.high - way.ratio.median for way in ways]
        counts = [way.workers for way in ways]
        axes.errorbar(counts, middle, yerr=[below, above], marker="o", capsize=4, label=client)
        axes.set_xticks(counts)
    axes.set(xlabel="workers", ylabel="throughput, of COPY", ylim=(0, None))
    axes.legend()


def _latency(axes: Axes, results: Results) -> None:
    for one in results.latencies:
        counts = sorted(one.commit.items())
        done = accumulate(count for _, count in counts)
        slower = [max(1 - part / one.payments, 0.5 / one.payments) for part in done]
        label = f"{one.client}, {one.rate}/s"
        axes.step([max(ms, 1) for ms, _ in counts], slower, where="post", label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set(xlabel="milliseconds until the commit", ylabel="share of payments that took longer")
    axes.legend()


def _cpu(axes: Axes, results: Results) -> None:
    labels = [way.label for way in results.ways]
    left = [0.0] * len(labels)
    for part in PARTS:
        widths = [way.cpu(part) for way in results.ways]
        axes.barh(labels, widths, left=left, label=part, color=_COLOURS[part])
        left = [before + width for before, width in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set(xlabel="microseconds of CPU a payment")
    axes.legend()


def _rss(axes: Axes, results: Results) -> None:
    runs = [(one.client, one.run) for one in results.flat] or [
        (way.label, way.pairs[-1].path) for way in results.writers()
    ]
    for label, run in runs:
        axes.plot([at for at, _ in run.rss], [mib for _, mib in run.rss], label=label)
    axes.set(xlabel="seconds", ylabel="RSS of a worker, MiB", ylim=(0, None))
    axes.legend()


_DRAWINGS: dict[str, tuple[str, Callable[[Results], object], _Drawing]] = {
    "Throughput by batch size and commit unit": ("batches.svg", lambda r: r.cells, _batch_sizes),
    "Throughput by workers": ("workers.svg", lambda r: r.writers(), _workers),
    "Latency at a steady load": ("latency.svg", lambda r: r.latencies, _latency),
    "Where the CPU goes": ("cpu.svg", lambda r: r.ways, _cpu),
    "Memory over time": ("memory.svg", lambda r: r.flat or r.writers(), _rss),
}
