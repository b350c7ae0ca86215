"""What a person sees of a run: progress on a terminal or in the log, and one summary."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import typer
from attrs import asdict
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table

from voltpay_core.consuming import BatchDone, Notice, TakenOver, Tally

log = logging.getLogger("voltpay")

Output = Literal["text", "json"]

_LOG_EVERY = 60.0  # seconds


@contextmanager
def progress() -> Iterator[Callable[[Notice], None]]:
    """Show notices: batches as a live line on a terminal, otherwise as a line a minute."""
    started = logged = time.monotonic()

    def log_seldom(done: BatchDone) -> None:
        nonlocal logged
        if time.monotonic() - logged >= _LOG_EVERY:
            logged = time.monotonic()
            log.info("%s", done)

    if not sys.stderr.isatty():
        yield _observer(log_seldom)
        return
    console = Console(stderr=True)
    log.handlers = [RichHandler(console=console, show_path=False)]
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield _observer(lambda done: live.update(_table(done, time.monotonic() - started)))


def summarize(total: Tally, seconds: float, output: Output) -> None:
    """Print the one summary of a run on stdout."""
    if output == "json":
        typer.echo(json.dumps({**asdict(total), "seconds": round(seconds, 3)}))
    else:
        typer.echo(f"{total} in {seconds:.1f} s")


def _observer(show: Callable[[BatchDone], None]) -> Callable[[Notice], None]:
    def notify(notice: Notice) -> None:
        if isinstance(notice, BatchDone):
            show(notice)
            return
        log.info("%s", notice)
        if isinstance(notice, TakenOver) and notice.republished:
            log.warning("published the events of %d outbox rows again", notice.republished)

    return notify


def _table(done: BatchDone, seconds: float) -> Table:
    table = Table.grid(padding=(0, 3))
    cells = {
        "records/s": f"{done.total.records / max(seconds, 1e-9):,.0f}",
        "lag": f"{done.lag:,}",
        "written": f"{done.total.written:,}",
        "duplicates": f"{done.total.duplicates:,}",
        "dead letters": f"{done.total.dead_letters:,}",
    }
    table.add_row(*(f"[bold]{value}[/] {name}" for name, value in cells.items()))
    return table
