"""The program `voltpay`: its commands by their names."""

from __future__ import annotations

import typer

from voltpay_cli.commands import config, database, dead_letter, idempotency, topics
from voltpay_cli.commands.check import check
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
app.command()(consume)
app.add_typer(idempotency.app, name="idempotency")
app.add_typer(dead_letter.app, name="dead-letter")
app.add_typer(topics.app, name="topics")
app.add_typer(database.app, name="db")
app.command()(produce)
app.command()(check)
app.add_typer(config.app, name="config")
app.command()(demo)


def main() -> None:
    """Run the command that the arguments name."""
    app()
