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

from voltpay_cli.console.lines import event
from voltpay_core.notices import BatchDone, Notice, Observer
from voltpay_core.outcomes import Tally

log = logging.getLogger("voltpay")

Output = Literal["text", "json"]

_LOG_EVERY = 60.0  # seconds


@contextmanager
def progress() -> Iterator[Observer]:
    """Show batches: as a live line on a terminal, otherwise as a line a minute."""
    logged = time.monotonic()

    def log_seldom(done: BatchDone) -> None:
        nonlocal logged
        if time.monotonic() - logged >= _LOG_EVERY:
            logged = time.monotonic()
            log.info("%s", done, extra=event("progress", **asdict(done.total), lag=done.lag))

    if not sys.stderr.isatty():
        yield _observer(log_seldom)
        return
    from voltpay_cli.console.live import live_line  # noqa: PLC0415 - rich is for a terminal alone

    with live_line() as show:
        yield _observer(show)


def summarize(total: Tally, seconds: float, output: Output) -> None:
    """Print the one summary of a run on stdout."""
    if output == "json":
        typer.echo(json.dumps({**asdict(total), "seconds": round(seconds, 3)}))
    else:
        typer.echo(f"{total} in {seconds:.1f} s")


def _observer(show: Callable[[BatchDone], None]) -> Observer:
    def notify(notice: Notice) -> None:
        if isinstance(notice, BatchDone):
            show(notice)

    return notify
