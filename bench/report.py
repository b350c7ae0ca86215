"""Tells results as Markdown: the report of a benchmark, and the figures of the documentation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path

from bench.figures import ROWS_A_PAYMENT, Cell, Latency, Results, Spread, percentile

BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"
PARTS = ("writer", "PostgreSQL", "brokers", "other")
PERCENTILES = (50, 99, 99.9)

_Column = Callable[[Cell], str]


def report(results: Results, pictures: Mapping[str, str]) -> str:
    """All tables and pictures, below headings of the second level.

    Args:
        pictures: The path of each picture by its title.
    """
    return "\n\n".join(
        [
            f"Measured on {results.started} in the {results.form} form.",
            table(("machine", ""), results.machine.items(), right=False),
            *_throughput(results),
            *_watched(results),
            *_cells(results),
            *_latencies(results),
            *_take_overs(results),
            *_flat(results),
            *_stocked(results),
            *(f"![{title}]({path})" for title, path in pictures.items()),
        ]
    )


def insert(document: Path, text: str) -> None:
    """Replace the figures in a document, between its two marks.

    Raises:
        ValueError: The document lacks a mark.
    """
    before, begin, rest = document.read_text("utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{document} needs the lines {BEGIN} and {END}")
    document.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", "utf-8")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, right: bool = True) -> str:
    """A table in Markdown; all columns but the first one are aligned to the right, or none is."""
    rule = ["---", *["---:" if right else "---"] * (len(head) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *rows))


def _throughput(results: Results) -> Iterable[str]:
    if not results.ways:
        return
    yield "## Throughput"
    yield (
        "Each run follows one of COPY. The table shows the median of the pairs, and the lowest and"
        f" the highest of them. COPY alone: {_rate(results.copy)} payments/s."
    )
    yield table(
        ("way", "payments/s", "of COPY", "peak RSS MiB", "WAL bytes", "transactions"),
        (
            (
                way.label,
                _rate(way.rate),
                _spread(way.ratio, ".2f"),
                f"{way.peak_rss.median:.0f}",
                f"{way.pairs[0].path.wal_bytes:,.0f}",
                f"{way.pairs[0].path.transactions:.4f}",
            )
            for way in results.ways
        ),
    )
    yield "WAL bytes and transactions are those of one payment, in the first pair."
    yield "## Where the CPU goes"
    yield (
        "Microseconds of CPU a payment, medians. The sum leaves out `other`: the kernel's own work"
        " and everything else on the machine, which tells whether it was quiet."
    )
    yield table(
        ("way", *PARTS[:-1], "sum", "other"),
        (
            (
                way.label,
                *(f"{way.cpu(part):.0f}" for part in PARTS[:-1]),
                _spread(way.machine_cpu, ".0f"),
                f"{way.cpu('other'):.0f}",
            )
            for way in results.ways
        ),
    )


def _watched(results: Results) -> Iterable[str]:
    if not results.watched:
        return
    yield "## What watching costs"
    yield (
        "In each round the writer runs once unwatched and once with each observer; the figures are"
        " shares of the unwatched run. One message of a hundred is sampled by its producer."
    )
    yield table(
        ("watched by", "payments/s", "CPU of the writer"),
        (
            (f"{one.client}, {one.by}", _spread(one.ratio, ".3f"), _spread(one.cpu, ".3f"))
            for one in results.watched
        ),
    )


def _cells(results: Results) -> Iterable[str]:
    columns: dict[str, _Column] = {
        "Payments a second": lambda cell: f"{cell.run.rate:,.0f}",
        "Rows a transaction": lambda cell: (
            f"{ROWS_A_PAYMENT * cell.run.payments_a_transaction:,.0f}"
        ),
        "WAL bytes a payment": lambda cell: f"{cell.run.wal_bytes:,.0f}",
        "Milliseconds until the commit at a steady load, p50 and p99": _steady,
    }
    for (client, accounts), group in groupby(results.cells, lambda one: (one.client, one.accounts)):
        cells = list(group)
        yield f"## Commit units and batch sizes: {client}, {accounts} accounts"
        for title, column in columns.items():
            if column is not _steady or any(cell.steady for cell in cells):
                yield f"{title}:"
                yield _grid(cells, column)


def _steady(cell: Cell) -> str:
    if cell.steady is None:
        return "-"
    return f"{percentile(cell.steady.commit, 50)} / {percentile(cell.steady.commit, 99)}"


def _grid(cells: Sequence[Cell], column: _Column) -> str:
    units = dict.fromkeys(cell.commit_unit for cell in cells)
    sizes = dict.fromkeys(cell.batch_size for cell in cells)
    found = {(cell.commit_unit, cell.batch_size): column(cell) for cell in cells}
    return table(
        ("commit unit", *(f"batches of {size}" for size in sizes)),
        ((unit, *(found.get((unit, size), "-") for size in sizes)) for unit in units),
    )


def _latencies(results: Results) -> Iterable[str]:
    if not results.latencies:
        return
    yield "## Latency at a steady load"
    yield "Milliseconds from the time at which a payment was due to be sent, with one worker."
    names = [f"p{percent}" for percent in PERCENTILES]
    yield table(
        (
            *("client", "due/s", "sent/s", "payments"),
            *(f"commit {name}" for name in names),
            *(f"event {name}" for name in names),
        ),
        (
            (
                *(one.client, f"{one.rate:,}", f"{one.sent_rate:,.0f}", f"{one.payments:,}"),
                *_percentiles(one),
            )
            for one in results.latencies
        ),
    )


def _percentiles(latency: Latency) -> Iterable[str]:
    for counts in (latency.commit, latency.event):
        for percent in PERCENTILES:
            yield str(percentile(counts, percent))


def _flat(results: Results) -> Iterable[str]:
    if not results.flat:
        return
    yield "## A long run"
    yield "RSS as shares of what it was after a minute; throughput of the last tenth of the second."
    yield table(
        ("client", "payments", "payments/s", "RSS after a minute", "last tenth"),
        (
            (
                one.client,
                f"{one.run.payments:,}",
                f"{one.run.rate:,.0f}",
                f"{rss.low:.2f} to {rss.high:.2f}" if (rss := one.run.rss_after(60)) else "-",
                f"{one.run.last_to_second_tenth:.2f}",
            )
            for one in results.flat
        ),
    )


def _take_overs(results: Results) -> Iterable[str]:
    if not results.take_overs:
        return
    yield "## Take-over"
    yield "Seconds until one process owns all partitions of a group that has read everything."
    yield table(
        ("client", "partitions", "seconds"),
        (
            (one.client, str(one.partitions), _spread(Spread.of(one.seconds), ".2f"))
            for one in results.take_overs
        ),
    )


def _stocked(results: Results) -> Iterable[str]:
    if not results.stocked:
        return
    yield "## Full tables"
    first = results.stocked[0].rate.median
    yield table(
        ("tables", "payments/s", "of empty tables"),
        (
            (f"{one.client}, {one.tables}", _rate(one.rate), f"{one.rate.median / first:.2f}")
            for one in results.stocked
        ),
    )


def _spread(spread: Spread, form: str) -> str:
    return f"{spread.median:{form}} ({spread.low:{form}} to {spread.high:{form}})"


def _rate(spread: Spread) -> str:
    return _spread(spread, ",.0f")
