"""`voltpay topics`: makes the four topics, and checks them."""

from __future__ import annotations

import json

import typer

from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, with_settings
from voltpay_cli.remedies import with_remedy
from voltpay_cli.wiring import Wiring

app = group(no_args_is_help=True, help="Create and check the four topics.")


@app.command(epilog=examples("voltpay topics create --partitions 12 --replication 3"))
@with_settings("source", "events", "partitions", "replication", "x")
def create(wiring: Wiring, *, output: Format = "text") -> None:
    """Create the topics that do not exist yet."""
    made = wiring.topics().create()
    if output == "json":
        typer.echo(json.dumps({"created": made}))
        return
    for name in made:
        typer.echo(f"created {name}")
    if not made:
        typer.echo("all topics are there")


@app.command(epilog=examples("voltpay topics check"))
@with_settings("source", "events", "partitions", "replication", "x")
def check(wiring: Wiring, *, output: Format = "text") -> None:
    """Compare the topics with the settings."""
    found = wiring.topics().find_drift()
    if output == "json":
        rows = [
            {"topic": each.topic, "code": each.code, "message": with_remedy(each)} for each in found
        ]
        typer.echo(json.dumps({"differences": rows}))
        raise typer.Exit(ExitCode.MISCONFIGURED if found else ExitCode.DONE)
    for difference in found:
        typer.echo(with_remedy(difference))
    if not found:
        typer.echo("all topics are as they should be")
    raise typer.Exit(ExitCode.MISCONFIGURED if found else ExitCode.DONE)
