"""`voltpay topics`: makes the four topics, and checks them."""

from __future__ import annotations

import typer

from voltpay_cli.console.results import print_result
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
    lines = [f"created {name}" for name in made] or ["all topics are there"]
    print_result(output, {"created": made}, lines)


@app.command(epilog=examples("voltpay topics check"))
@with_settings("source", "events", "partitions", "replication", "x")
def check(wiring: Wiring, *, output: Format = "text") -> None:
    """Compare the topics with the settings."""
    found = wiring.topics().find_drift()
    rows = [
        {"topic": each.topic, "code": each.code, "message": with_remedy(each)} for each in found
    ]
    lines = [row["message"] for row in rows] or ["all topics are as they should be"]
    print_result(output, {"differences": rows}, lines)
    raise typer.Exit(ExitCode.MISCONFIGURED if found else ExitCode.DONE)
