"""`voltpay check`: checks Kafka, the database and the settings."""

from __future__ import annotations

import json

import typer

from voltpay_cli.checks import run_checks
from voltpay_cli.exit_codes import ExitCode, exit_code
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, with_settings
from voltpay_cli.remedies import with_remedy
from voltpay_cli.wiring import Wiring

app = group()


@app.command(epilog=examples("voltpay check", "voltpay check --output json"))
@with_settings("source", "store", "events", "x")
def check(wiring: Wiring, *, output: Format = "text") -> None:
    """Check Kafka, the database and the settings, one line each."""
    code = ExitCode.DONE
    rows: list[dict[str, object]] = []
    for finding in run_checks(wiring):
        failure = finding.failure
        words = str(finding.answer) if failure is None else with_remedy(failure)
        if output == "text":
            typer.echo(f"{'FAIL' if failure else 'ok  '} {finding.name}: {words}")
        rows.append(
            {
                "name": finding.name,
                "ok": failure is None,
                "code": failure and failure.code,
                "message": words,
            }
        )
        code = max(code, exit_code(failure) if failure else ExitCode.DONE)
    if output == "json":
        typer.echo(json.dumps({"ok": code == ExitCode.DONE, "checks": rows}))
    raise typer.Exit(code)
