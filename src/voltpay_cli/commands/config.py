"""`voltpay config`: shows the settings in force, and their origins."""

from __future__ import annotations

import json
from typing import Any

import typer

from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, with_settings
from voltpay_cli.settings import Loaded

app = group(no_args_is_help=True, help="Show the settings.")


@app.command(
    epilog=examples(
        "voltpay config show",
        "voltpay config show --config /etc/voltpay/voltpay.toml --output json",
    )
)
@with_settings("source", "store", "events", "node_id", "group", "x", give=Loaded.shown)
def show(
    rows: dict[str, dict[str, Any]],
    *,
    output: Format = "text",
) -> None:
    """Print each setting, its value and its origin. Secrets are masked."""
    if output == "json":
        typer.echo(json.dumps(rows, indent=2))
        return
    for name, row in rows.items():
        typer.echo(f"{name} = {json.dumps(row['value'], ensure_ascii=False)}  # {row['origin']}")
