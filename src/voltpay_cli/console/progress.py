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
from attrs import asdict, define, field
from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table

from voltpay_core.consuming import BatchDone, Notice, TakenOver, Tally
from voltpay_core.errors import Fenced

log = logging.getLogger("voltpay")

Output = Literal["text", "json"]

_LOG_EVERY = 60.0  # seconds


@define
class Progress:
    """Keeps what notices tell, for the terminal and for the log.

    Attributes:
        show: Told of each batch.
        every: Seconds between two lines in the log.
    """

    _show: Callable[[BatchDone, float], None]
    _every: float
    _started: float = field(factory=time.monotonic, init=False)
    _logged: float = field(factory=time.monotonic, init=False)

    def __call__(self, notice: Notice) -> None:
        """Take note."""
        match notice:
            case TakenOver():
                _tell_take_over(notice)
            case Fenced():
                log.info("%s", notice)
            case BatchDone():
                now = time.monotonic()
                self._show(notice, notice.total.records / max(now - self._started, 1e-9))
                if now - self._logged >= self._every:
                    self._logged = now
                    log.info("%s; lag %d", in_words(notice.total), notice.lag)


@contextmanager
def progress() -> Iterator[Progress]:
    """Progress as a live line on a terminal, otherwise as a line a minute in the log."""
    if not sys.stderr.isatty():
        yield Progress(lambda *_: None, _LOG_EVERY)
        return
    console = Console(stderr=True)
    log.handlers = [RichHandler(console=console, show_path=False)]
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield Progress(lambda done, rate: live.update(_table(done, rate)), float("inf"))


def summarize(total: Tally, seconds: float, output: Output) -> None:
    """Print the one summary of a run on stdout."""
    if output == "json":
        typer.echo(json.dumps({**asdict(total), "seconds": round(seconds, 3)}))
    else:
        typer.echo(f"{in_words(total)} in {seconds:.1f} s")


def in_words(total: Tally) -> str:
    """A tally as a line."""
    words = (
        f"written {total.written}, duplicates {total.duplicates},"
        f" dead letters {total.dead_letters}, events {total.events}"
    )
    return f"{words}, warm-ups {total.warm_ups}" if total.warm_ups else words


def _tell_take_over(notice: TakenOver) -> None:
    names = ", ".join(sorted(map(str, notice.partitions))[:8])
    more = f" and {len(notice.partitions) - 8} more" if len(notice.partitions) > 8 else ""
    log.info("took over %s%s", names, more)
    if notice.republished:
        log.warning("published the events of %d outbox rows again", notice.republished)


def _table(done: BatchDone, rate: float) -> Table:
    table = Table.grid(padding=(0, 3))
    cells = {
        "records/s": f"{rate:,.0f}",
        "lag": f"{done.lag:,}",
        "written": f"{done.total.written:,}",
        "duplicates": f"{done.total.duplicates:,}",
        "dead letters": f"{done.total.dead_letters:,}",
    }
    table.add_row(*(f"[bold]{value}[/] {name}" for name, value in cells.items()))
    return table
