"""The program `voltpay`: its commands by their names."""

from __future__ import annotations

import typer

from voltpay_cli.commands.consume import consume
from voltpay_cli.commands.demo import demo
from voltpay_cli.commands.produce import produce
from voltpay_cli.exits import Commands

app = typer.Typer(
    name="voltpay",
    help="The Voltpay payment writer: payments from Kafka, each exactly once, into PostgreSQL.",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (consume, produce, demo):
    app.command()(command)


def main() -> None:
    """Run the command that the arguments name."""
    app()
