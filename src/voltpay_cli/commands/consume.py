"""`voltpay consume`: writes payments from the source to the store, and publishes their events."""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated

import typer

from voltpay_cli.console.lines import event
from voltpay_cli.console.progress import (
    once_a_minute,
    progress,
    summarize,
    summarize_dry_run,
)
from voltpay_cli.console.results import Output
from voltpay_cli.console.run_log import run_log
from voltpay_cli.console.signals import StopFlag, stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.monitoring import monitored
from voltpay_cli.options import number, switch, with_settings
from voltpay_cli.settings import Settings
from voltpay_cli.tracing import traced
from voltpay_cli.wiring import Wiring
from voltpay_cli.workers import check_shareable, share
from voltpay_core import dry_running
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.notices import to_all
from voltpay_core.pacing import Pace

log = logging.getLogger("voltpay")

GARBAGE_THRESHOLD = 50_000
"""New objects before Python looks for cycles: a batch makes many objects and no cycles, and the
search after each 700 costs the writer a third of its CPU time."""

app = group()


@app.command(
    epilog=examples(
        "voltpay consume --workers 4",
        "voltpay consume --exit-eof --output json",
        "voltpay consume --dry-run",
    )
)
@with_settings(
    "source", "store", "events", "node_id", "group", "batch_size", "commit_unit", "listen", "x"
)
def consume(
    wiring: Wiring,
    *,
    max_messages: Annotated[int | None, number("stop after this number of records")] = None,
    exit_eof: Annotated[
        bool,
        switch("--exit-eof", "stop when everything that was there at the start is done"),
    ] = False,
    timeout: Annotated[
        int | None,
        typer.Option(help="stop after this number of seconds", min=0, max=10**8, metavar="SECONDS"),
    ] = None,
    skip_expired: Annotated[
        bool,
        switch("--skip-expired", "continue where records expired unread"),
    ] = False,
    rate: Annotated[int | None, number("records per second and process, at most")] = None,
    dry_run: Annotated[
        bool,
        switch("--dry-run", "only decode and count what is there; needs no store and no events"),
    ] = False,
    workers: Annotated[int, number("number of processes that share the work", 1, 100)] = 1,
    output: Annotated[Output, typer.Option(help="format of the summary")] = "text",
) -> None:
    """Consume payments until stopped. A file is consumed to its end."""
    source = wiring.settings.source
    if skip_expired:
        wiring.audit("source", "group")
    if workers > 1:
        check_shareable(wiring.settings, max_messages, dry_run=dry_run)
        raise typer.Exit(share(workers, wiring.settings.listen, output))
    with stop_on_signals(timeout) as stop:
        pace = Pace(rate, stop.flag.wait) if rate else None
        if dry_run:
            raise typer.Exit(_run_dry(wiring, stop, max_messages, pace, output))
        code = run(
            wiring,
            stop,
            max_messages=max_messages,
            until_drained=exit_eof or not (source and source.is_kafka),
            skip_expired=skip_expired,
            pace=pace,
            output=output,
        )
    raise typer.Exit(code)


def run(
    wiring: Wiring,
    stop: StopFlag,
    *,
    max_messages: int | None = None,
    until_drained: bool = True,
    skip_expired: bool = False,
    pace: Pace | None = None,
    output: Output = "text",
) -> ExitCode:
    """Consume, print the summary, and return how it ended."""
    gc.set_threshold(GARBAGE_THRESHOLD)
    try:
        with (
            _summarized(output) as summarized,
            run_log(wiring.settings) as tell,
            progress(finite=_is_file(wiring.settings)) as show,
            monitored(wiring) as count,
            traced(wiring) as trace,
            wiring.payment_consumer(
                stop.flag,
                to_all(tell, show, count, trace),
                skip_expired=skip_expired,
                warm=not (until_drained or max_messages),
                pace=pace,
            ) as consumer,
        ):
            summarized.append(consumer)
            consumer.run(stop, max_records=max_messages, until_drained=until_drained)
    except Unavailable as error:
        if error.halt or not stop():
            raise
        log.warning("stopped before the work was done: %s", error, extra=event("stopped"))
        return ExitCode.STOPPED
    unfinished = stop.timed_out and (until_drained or max_messages)
    return ExitCode.STOPPED if unfinished else ExitCode.DONE


def _is_file(settings: Settings) -> bool:
    """Whether the source is a file, whose lines are all there; a pipe may get more."""
    source = settings.source
    return bool(source and not source.is_kafka and source.path != "-")


def _run_dry(
    wiring: Wiring, stop: StopFlag, max_messages: int | None, pace: Pace | None, output: Output
) -> ExitCode:
    """Decode what waits, print the counts, and return how it ended."""
    started = time.monotonic()
    done = dry_running.dry_run(
        wiring.waiting_records(stop),
        wiring.codec,
        limit=max_messages,
        pace=pace,
        stop=stop,
        notify=once_a_minute(),
    )
    summarize_dry_run(done, time.monotonic() - started, output)
    return ExitCode.STOPPED if stop() else ExitCode.DONE


@contextmanager
def _summarized(output: Output) -> Iterator[list[PaymentConsumer]]:
    """Print the summary of the consumer that is put into the list, however its run ends."""
    consumers: list[PaymentConsumer] = []
    started = time.monotonic()

    def report() -> None:
        for consumer in consumers:
            summarize(consumer.total, time.monotonic() - started, output)

    try:
        yield consumers
    except BaseException:
        with suppress(BrokenPipeError, Unavailable):  # the run's own failure is the one to report
            report()
        raise
    report()
