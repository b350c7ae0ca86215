"""`voltpay idempotency`: the care for the claims."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Annotated

import typer

from voltpay_cli import flags, topics, values, wiring
from voltpay_cli.exits import ExitCode
from voltpay_cli.settings import Settings
from voltpay_cli.stopping import Stop, stop_on_signals
from voltpay_core import purging
from voltpay_core.errors import Misconfigured
from voltpay_core.ports import BeginUnitOfWork

log = logging.getLogger("voltpay")

app = typer.Typer(no_args_is_help=True, help="Care for the claimed message ids.")


@app.command()
def purge(
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="age of the claims that go, such as 48h; limits.claims_days without it",
            metavar="AGE",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only count them")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="also claims that the input topic or replays count on")
    ] = False,
    chunk: Annotated[int, typer.Option(help="claims a transaction", min=1, metavar="N")] = 10_000,
    source: flags.Source = None,
    store: flags.Store = None,
    x: flags.KafkaOptions = None,
    config: flags.Config = None,
) -> None:
    """Delete old claims in chunks; it can be stopped and run again."""
    settings = flags.settings_of(config, x, source=source, store=store).settings
    age = timedelta(days=settings.limits.claims_days)
    if older_than is not None:
        age = flags.checked("--older-than", values.duration, older_than)
    if not force:
        _check(settings, age)
    with stop_on_signals() as stop, wiring.database(settings) as begin:
        if dry_run:
            typer.echo(f"would delete {purging.expired(begin, age)} claims")
        else:
            _purge(begin, age, chunk, stop)
    raise typer.Exit(ExitCode.STOPPED if stop() else ExitCode.DONE)


def _purge(begin: BeginUnitOfWork, age: timedelta, chunk: int, stop: Stop) -> None:
    deleted = 0
    try:
        for count in purging.purge(begin, age, chunk=chunk, stop=stop):
            deleted += count
            log.info("deleted %d claims", deleted)
    finally:
        typer.echo(f"deleted {deleted} claims")


def _check(settings: Settings, age: timedelta) -> None:
    kept = topics.input_retention(settings)
    if age < kept:
        raise Misconfigured(
            f"the input topic keeps records for {_words(kept)} (retention.ms + segment.ms),"
            " and whatever comes again after its claim is gone would be written twice: keep claims"
            " longer (limits.claims_days, --older-than), or --force"
        )
    if age < timedelta(days=settings.limits.claims_days):
        raise Misconfigured(
            "replays of dead letters count on claims that are kept for limits.claims_days"
            f" ({settings.limits.claims_days}): purge older ones, or --force"
        )


def _words(kept: timedelta) -> str:
    return "ever" if kept == timedelta.max else f"up to {kept.total_seconds() / 3600:g} hours"
