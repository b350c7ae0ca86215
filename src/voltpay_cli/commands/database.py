"""`voltpay db`: bootstrap, Liquibase's own commands, and pg_partman's maintenance."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from voltpay_cli import administration, flags
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Make and care for the PostgreSQL schema.")


@app.command()
def bootstrap(store: flags.Store = None, config: flags.Config = None) -> None:
    """Make roles, schemas and pg_partman, as a superuser."""
    administration.bootstrap_database(_settings(store, config))
    typer.echo("roles, schemas and pg_partman are in place; next: voltpay db update")


@app.command()
def update(store: flags.Store = None, config: flags.Config = None) -> None:
    """Run the changesets that the database does not have yet."""
    _end(administration.liquibase(_settings(store, config), locking=True).update())


@app.command()
def rollback(
    count: Annotated[int, typer.Option(help="changesets to undo", min=1, metavar="N")],
    store: flags.Store = None,
    config: flags.Config = None,
) -> None:
    """Undo the last changesets; with a payment table go its rows."""
    _end(administration.liquibase(_settings(store, config), locking=True).rollback(count))


@app.command()
def status(store: flags.Store = None, config: flags.Config = None) -> None:
    """Tell which changesets the database does not have yet."""
    _end(administration.liquibase(_settings(store, config)).status())


@app.command()
def history(store: flags.Store = None, config: flags.Config = None) -> None:
    """Tell which changesets were run, and when."""
    _end(administration.liquibase(_settings(store, config)).history())


@app.command()
def clear_checksums(store: flags.Store = None, config: flags.Config = None) -> None:
    """Forget the checksums of the changesets."""
    _end(administration.liquibase(_settings(store, config)).clear_checksums())


@app.command()
def release_locks(store: flags.Store = None, config: flags.Config = None) -> None:
    """Take the changelog's lock away from an update that is no more."""
    liquibase = administration.liquibase(_settings(store, config))
    typer.echo(f"the changelog's lock was held by {liquibase.lock_holder() or 'nobody'}")
    _end(liquibase.release_locks())


@app.command()
def validate(store: flags.Store = None, config: flags.Config = None) -> None:
    """Check the changelog."""
    _end(administration.liquibase(_settings(store, config)).validate())


@app.command()
def maintain(store: flags.Store = None, config: flags.Config = None) -> None:
    """Make the partitions of the months ahead; due daily."""
    for partition in administration.maintain(_settings(store, config)):
        typer.echo(partition)


def _settings(store: str | None, config: str | None) -> Settings:
    return flags.settings_of(config, store=store).settings


def _end(code: int) -> NoReturn:
    """Liquibase has told in its own words what was wrong."""
    raise typer.Exit(ExitCode.UNAVAILABLE if code else ExitCode.DONE)
