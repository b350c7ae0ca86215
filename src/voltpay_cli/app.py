"""The program `voltpay`: its commands by their names."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Annotated

import typer

from voltpay_adapters.local import streams
from voltpay_adapters.private_tracebacks import traceback_without_messages
from voltpay_cli.commands import config, database, dead_letter, events, idempotency, topics
from voltpay_cli.commands.check import check
from voltpay_cli.commands.consume import consume
from voltpay_cli.commands.demo import demo
from voltpay_cli.commands.observe import observe
from voltpay_cli.commands.produce import produce
from voltpay_cli.commands.status import status
from voltpay_cli.exit_codes import ExitCode, ExitingGroup
from voltpay_cli.wiring import Wiring

app = typer.Typer(
    name="voltpay",
    cls=ExitingGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib import metadata  # noqa: PLC0415 - slow, and used here alone

        typer.echo(metadata.version("voltpay"))
        raise typer.Exit


@app.callback()
def voltpay(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version),
    ] = False,
) -> None:
    """The Voltpay payment writer: it writes each payment from Kafka to PostgreSQL exactly once."""
    del version  # printed already


app.command()(consume)
app.add_typer(idempotency.app, name="idempotency")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(events.app, name="events")
app.add_typer(topics.app, name="topics")
app.add_typer(database.app, name="db")
app.command()(produce)
app.command()(check)
app.command()(status)
app.command()(observe)
app.add_typer(config.app, name="config")
app.command()(demo)


def main(wire: Callable[..., Wiring] = Wiring) -> None:
    """Run the command that the arguments name; a bug shows where it is, and nothing of the data.

    Args:
        wire: Makes the wiring of the settings that it is given.
    """
    streams.settle()
    threading.excepthook = lambda failed: _report_bug(failed.exc_value)
    sys.unraisablehook = lambda failed: _report_bug(failed.exc_value)
    try:
        app(obj=wire)
    except Exception as bug:  # noqa: BLE001 - whatever is left is one
        _report_bug(bug)
        sys.exit(ExitCode.BUG)


def _report_bug(bug: BaseException | None) -> None:
    if bug is not None:
        typer.echo(
            f"{traceback_without_messages(bug)}\nvoltpay: a bug; its words are left out", err=True
        )
