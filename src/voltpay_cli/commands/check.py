"""`voltpay check`: whether everything is as it should be."""

from __future__ import annotations

import typer

from voltpay_cli.exit_codes import ExitCode, exit_code
from voltpay_cli.groups import examples, group
from voltpay_cli.operations import run_checks
from voltpay_cli.options import with_settings
from voltpay_cli.remedies import with_remedy
from voltpay_cli.wiring import Wiring

app = group()


@app.command(epilog=examples("voltpay check"))
@with_settings("source", "store", "events", "x")
def check(wiring: Wiring) -> None:
    """Check Kafka, the database and the settings, one line each."""
    code = ExitCode.DONE
    for finding in run_checks(wiring):
        if failure := finding.failure:
            typer.echo(f"FAIL {finding.name}: {with_remedy(failure)}")
            code = max(code, exit_code(failure))
        else:
            typer.echo(f"ok   {finding.name}: {finding.answer}")
    raise typer.Exit(code)
