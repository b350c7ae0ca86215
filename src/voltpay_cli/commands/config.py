"""`voltpay config`: what is in force, and where it comes from."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from voltpay_cli import flags
from voltpay_cli.console.progress import Output
from voltpay_cli.settings.display import shown

app = typer.Typer(no_args_is_help=True, help="See the settings.")


@app.command()
def show(
    *,
    source: flags.Source = None,
    store: flags.Store = None,
    events: flags.Events = None,
    node_id: flags.NodeId = None,
    group: flags.Group = None,
    output: Annotated[Output, typer.Option(help="form of the list")] = "text",
    x: flags.KafkaOptions = None,
    config: flags.Config = None,
) -> None:
    """Print each setting, its value and its origin; secrets are masked."""
    loaded = flags.settings_of(
        config, x, source=source, store=store, events=events, node_id=node_id, group=group
    )
    rows = shown(loaded)
    if output == "json":
        typer.echo(json.dumps(rows, indent=2))
        return
    for name, row in rows.items():
        typer.echo(f"{name} = {json.dumps(row['value'], ensure_ascii=False)}  # {row['origin']}")
