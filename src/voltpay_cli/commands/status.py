"""`voltpay status`: how the whole system is, on one screen."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from voltpay_cli.console.results import Output
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.console.status import as_text, as_values
from voltpay_cli.exit_codes import ExitCode, exit_code
from voltpay_cli.groups import examples, group
from voltpay_cli.options import number, switch, with_settings
from voltpay_cli.reporting import Report, Reporter
from voltpay_cli.wiring import Wiring

app = group()


@app.command(
    epilog=examples(
        "voltpay status", "voltpay status --watch --every 2", "voltpay status --output json"
    )
)
@with_settings("source", "store", "events", "group", "x")
def status(
    wiring: Wiring,
    *,
    watch: Annotated[bool, switch("--watch", "show it again and again, until stopped")] = False,
    every: Annotated[int, number("seconds between two screens of --watch", 1, 3600)] = 5,
    output: Annotated[Output, typer.Option(help="format of the report")] = "text",
) -> None:
    """Show how the system is: group, lag, rate, outbox, months, claims, dead letters, checks."""
    settings = wiring.settings
    if not (settings.source or settings.store or settings.events):
        settings.required("source", "store", "events")
    with stop_on_signals(doing="ending") as stop, _shown(output, watch=watch) as show:
        reporter = Reporter(wiring, stop.flag.wait)
        while True:
            report = reporter.report()
            show(report)
            if not watch:
                raise typer.Exit(max(map(exit_code, report.unanswered), default=ExitCode.DONE))
            if stop.flag.wait(every):
                return


@contextmanager
def _shown(output: Output, *, watch: bool) -> Iterator[Callable[[Report], None]]:
    """Shows reports; with --watch on a terminal, each replaces the one before."""
    if output == "json":
        yield lambda report: typer.echo(json.dumps(as_values(report)))
    elif watch and sys.stdout.isatty():
        from voltpay_cli.console.screen import screen  # noqa: PLC0415 - rich is for a terminal alone

        with screen() as show:
            yield lambda report: show("\n".join(as_text(report)))
    else:
        yield lambda report: typer.echo("\n".join([*as_text(report), *([""] if watch else [])]))
