"""The program `voltpay`: its commands by their names."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from voltpay_adapters.private_tracebacks import traceback_without_messages
from voltpay_cli.config_file import asked_format
from voltpay_cli.console import streams
from voltpay_cli.console.lines import tell, use
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import LazyGroup

if TYPE_CHECKING:
    from voltpay_cli.wiring import Wiring


class Commands(LazyGroup):
    """The commands of the program."""

    package = "voltpay_cli.commands"
    helps: ClassVar = {
        "consume": "Consume payments until stopped. A file is consumed to its end.",
        "produce": "Write sample payments to the input topic or file.",
        "check": "Check Kafka, the database and the settings, one line each.",
        "status": (
            "Show how the system is: group, lag, rate, outbox, months, claims, dead letters,"
            " checks."
        ),
        "observe": (
            "Serve metrics of the group, the outbox, the months and the checks, until stopped."
        ),
        "demo": "Show the main job on files and SQLite, twice.",
        "idempotency": "Maintain the claimed message ids.",
        "dead-letter": "List, export and replay dead letters.",
        "events": "Publish events again.",
        "topics": "Create and check the four topics.",
        "db": "Create and maintain the PostgreSQL schema.",
        "config": "Show the settings.",
    }


app = typer.Typer(
    name="voltpay",
    cls=Commands,
    no_args_is_help=True,
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


def main(wire: Callable[..., Wiring] | None = None) -> None:
    """Run the command that the arguments name; a bug shows where it is, and nothing of the data.

    Args:
        wire: Makes the wiring of the settings that it is given.
    """
    streams.settle()
    use(asked_format(sys.argv[1:]))
    threading.excepthook = lambda failed: _report_bug(failed.exc_value)
    sys.unraisablehook = lambda failed: _report_bug(failed.exc_value)
    try:
        app(obj=wire)
    except Exception as bug:  # noqa: BLE001 - whatever is left is one
        _report_bug(bug)
        sys.exit(ExitCode.BUG)


def _report_bug(bug: BaseException | None) -> None:
    if bug is not None:
        where, words = traceback_without_messages(bug), "a bug; its words are left out"
        tell("bug", words, f"{where}\nvoltpay: {words}", traceback=where)
