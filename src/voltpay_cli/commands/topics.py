"""`voltpay topics`: makes the four topics, and checks them."""

from __future__ import annotations

from typing import Annotated

import typer

from voltpay_cli import flags, topics
from voltpay_cli.exit_codes import ExitCode

app = typer.Typer(no_args_is_help=True, help="Make and check the four topics.")

Partitions = Annotated[
    str | None, typer.Option(help="of each topic [VOLTPAY_TOPICS_PARTITIONS]", metavar="N")
]
Replication = Annotated[
    str | None,
    typer.Option(help="copies of each partition [VOLTPAY_TOPICS_REPLICATION]", metavar="N"),
]


@app.command()
def create(
    *,
    source: flags.Source = None,
    events: flags.Events = None,
    partitions: Partitions = None,
    replication: Replication = None,
    x: flags.KafkaOptions = None,
    config: flags.Config = None,
) -> None:
    """Make those topics that are not there yet."""
    settings = flags.settings_of(
        config,
        x,
        source=source,
        events=events,
        **{"topics.partitions": partitions, "topics.replication": replication},
    ).settings
    made = topics.create(settings)
    for name in made:
        typer.echo(f"created {name}")
    if not made:
        typer.echo("all topics are there")


@app.command()
def check(
    *,
    source: flags.Source = None,
    events: flags.Events = None,
    partitions: Partitions = None,
    replication: Replication = None,
    x: flags.KafkaOptions = None,
    config: flags.Config = None,
) -> None:
    """Tell what differs from the settings."""
    settings = flags.settings_of(
        config,
        x,
        source=source,
        events=events,
        **{"topics.partitions": partitions, "topics.replication": replication},
    ).settings
    found = topics.find_drift(settings)
    for sentence in map(str, found) if found else ["all topics are as they should be"]:
        typer.echo(sentence)
    raise typer.Exit(ExitCode.MISCONFIGURED if found else ExitCode.DONE)
