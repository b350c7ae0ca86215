"""`voltpay db`: bootstrap, Liquibase's own commands, and pg_partman's maintenance."""

from __future__ import annotations

from typing import Annotated, NoReturn

import typer

from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.operations import bootstrap_database, liquibase
from voltpay_cli.operations import maintain as maintain_database
from voltpay_cli.options import number, with_settings
from voltpay_cli.wiring import Wiring

app = group(no_args_is_help=True, help="Create and maintain the PostgreSQL schema.")


@app.command(epilog=examples("voltpay db bootstrap"))
@with_settings("store")
def bootstrap(wiring: Wiring) -> None:
    """Create roles, schemas and pg_partman, as a superuser."""
    bootstrap_database(wiring)
    typer.echo("roles, schemas and pg_partman are in place; next: voltpay db update")


@app.command(epilog=examples("voltpay db update"))
@with_settings("store")
def update(wiring: Wiring) -> None:
    """Run the changesets that the database does not have yet."""
    _end(liquibase(wiring, locking=True).update())


@app.command(epilog=examples("voltpay db rollback --count 1"))
@with_settings("store")
def rollback(
    wiring: Wiring,
    count: Annotated[int, number("number of changesets to undo")],
) -> None:
    """Undo the last changesets. If they drop a payment table, its rows are lost."""
    _end(liquibase(wiring, locking=True).rollback(count))


@app.command(epilog=examples("voltpay db status"))
@with_settings("store")
def status(wiring: Wiring) -> None:
    """List the changesets that the database does not have yet."""
    _end(liquibase(wiring).status())


@app.command(epilog=examples("voltpay db history"))
@with_settings("store")
def history(wiring: Wiring) -> None:
    """List the changesets that were run, and when."""
    _end(liquibase(wiring).history())


@app.command(epilog=examples("voltpay db clear-checksums"))
@with_settings("store")
def clear_checksums(wiring: Wiring) -> None:
    """Delete the stored checksums of the changesets."""
    _end(liquibase(wiring).clear_checksums())


@app.command(epilog=examples("voltpay db release-locks"))
@with_settings("store")
def release_locks(wiring: Wiring) -> None:
    """Release the changelog's lock that a killed update has left."""
    changelog = liquibase(wiring)
    typer.echo(f"the changelog's lock was held by {changelog.lock_holder() or 'nobody'}")
    _end(changelog.release_locks())


@app.command(epilog=examples("voltpay db validate"))
@with_settings("store")
def validate(wiring: Wiring) -> None:
    """Check the changelog."""
    _end(liquibase(wiring).validate())


@app.command(epilog=examples("voltpay db maintain"))
@with_settings("store")
def maintain(wiring: Wiring) -> None:
    """Create the partitions of the coming months. Run it daily."""
    for partition in maintain_database(wiring):
        typer.echo(str(partition))


def _end(code: int) -> NoReturn:
    """Liquibase has reported in its own words what was wrong."""
    raise typer.Exit(ExitCode.UNAVAILABLE if code else ExitCode.DONE)
