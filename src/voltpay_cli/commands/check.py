"""`voltpay check`: the doctor."""

from __future__ import annotations

import typer

from voltpay_cli import flags
from voltpay_cli.checks import run_checks
from voltpay_cli.exit_codes import ExitCode


def check(
    *,
    source: flags.Source = None,
    store: flags.Store = None,
    events: flags.Events = None,
    x: flags.KafkaOptions = None,
    config: flags.Config = None,
) -> None:
    """Tell, one line each, whether everything is as it should be."""
    settings = flags.settings_of(config, x, source=source, store=store, events=events).settings
    code = ExitCode.DONE
    for finding in run_checks(settings):
        typer.echo(f"{'FAIL' if finding.code else 'ok  '} {finding.name}: {finding.message}")
        code = max(code, finding.code)
    raise typer.Exit(code)
