"""What a person sees of a run: progress on a terminal or in the log, and one summary."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from attrs import asdict

from voltpay_cli.console.lines import event
from voltpay_cli.console.remaining import Remaining
from voltpay_cli.console.results import Output, print_result
from voltpay_core.dry_running import DryRun
from voltpay_core.notices import BatchDone, Notice, Observer
from voltpay_core.outcomes import Tally

log = logging.getLogger("voltpay")

_LOG_EVERY = 60.0  # seconds


@contextmanager
def progress(*, finite: bool = False) -> Iterator[Observer]:
    """Show batches: as a live line on a terminal, otherwise as a line a minute.

    Args:
        finite: All records of the run are there, so what is left of it is shown as well.
    """
    started = time.monotonic()

    def remaining(done: BatchDone) -> Remaining | None:
        return Remaining.after(done, time.monotonic() - started) if finite else None

    if not sys.stderr.isatty():
        log_seldom = once_a_minute()
        yield _observer(
            lambda done: log_seldom(
                _words(done, remaining(done)), **asdict(done.total), lag=done.lag
            )
        )
        return
    from voltpay_cli.console.live import live_line  # noqa: PLC0415 - rich is for a terminal alone

    with live_line() as show:
        yield _observer(lambda done: show(done, remaining(done)))


def summarize(total: Tally, seconds: float, output: Output) -> None:
    """Print the one summary of a run on stdout."""
    values = {**asdict(total), "seconds": round(seconds, 3)}
    print_result(output, values, [f"{total} in {seconds:.1f} s"])


def summarize_dry_run(found: DryRun, seconds: float, output: Output) -> None:
    """Print the one summary of a dry run on stdout."""
    counts = {**asdict(found), "dead_letters": found.dead_letters}
    lines = [
        f"{found} in {seconds:.1f} s",
        "nothing was written, published or acknowledged: this was a dry run",
    ]
    print_result(output, {"dry_run": True, **counts, "seconds": round(seconds, 3)}, lines)


def once_a_minute() -> Callable[..., None]:
    """Log what it is called with, at most once a minute, and first after a minute.

    What it returns accepts more fields for the line in JSON by their names.
    """
    logged = time.monotonic()

    def log_seldom(state: object, **fields: object) -> None:
        nonlocal logged
        if time.monotonic() - logged >= _LOG_EVERY:
            logged = time.monotonic()
            log.info("%s", state, extra=event("progress", **fields))

    return log_seldom


def _words(done: BatchDone, remaining: Remaining | None) -> str:
    return f"{done}; {remaining.words} left" if remaining else str(done)


def _observer(show: Callable[[BatchDone], None]) -> Observer:
    def notify(notice: Notice) -> None:
        if isinstance(notice, BatchDone):
            show(notice)

    return notify
