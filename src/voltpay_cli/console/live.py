"""The live line of a run on a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.logging import RichHandler
from rich.table import Table

from voltpay_adapters.private_tracebacks import PrivateFormatter
from voltpay_cli.console.logs import log_to
from voltpay_cli.console.remaining import Remaining
from voltpay_core.notices import BatchDone


@contextmanager
def live_line() -> Iterator[Callable[[BatchDone, Remaining | None], None]]:
    """Show the last batch on the terminal, below the log, and what is left of a finite run."""
    started = time.monotonic()
    console = Console(stderr=True)
    log_to(RichHandler(console=console, show_path=False), PrivateFormatter("%(message)s"))
    with Live(console=console, refresh_per_second=8, transient=True) as live:
        yield lambda done, remaining: live.update(
            _table(done, time.monotonic() - started, remaining)
        )


def _table(done: BatchDone, seconds: float, remaining: Remaining | None) -> Table:
    table = Table.grid(padding=(0, 3))
    left = {"left": remaining.words} if remaining else {"lag": f"{done.lag:,}"}
    cells = {
        "records/s": f"{done.total.records / max(seconds, 1e-9):,.0f}",
        **left,
        "written": f"{done.total.written:,}",
        "duplicates": f"{done.total.duplicates:,}",
        "dead letters": f"{done.total.dead_letters:,}",
    }
    table.add_row(*(f"[bold]{value}[/] {name}" for name, value in cells.items()))
    return table
