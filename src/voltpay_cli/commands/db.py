"""`voltpay db`: creates and maintains the schema by Liquibase and pg_partman."""

from __future__ import annotations

import json
import sys
from typing import Annotated, NoReturn

import typer

from voltpay_cli import database
from voltpay_cli.console.lines import tell
from voltpay_cli.console.results import print_result
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, switch, with_settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured

app = group(no_args_is_help=True, help="Create and maintain the PostgreSQL schema.")


@app.command(epilog=examples("voltpay db bootstrap"))
@with_settings("store")
def bootstrap(wiring: Wiring) -> None:
    """Create roles, schemas and pg_partman, as a superuser."""
    wiring.audit("superuser")
    database.bootstrap(wiring)
    typer.echo("roles, schemas and pg_partman are in place; next: voltpay db update")


@app.command(epilog=examples("voltpay db update --sql", "voltpay db update"))
@with_settings("store")
def update(
    wiring: Wiring,
    *,
    sql: Annotated[bool, switch("--sql", "print the SQL and change nothing")] = False,
) -> None:
    """Run the changesets that the database does not have yet."""
    if sql:
        _end(database.liquibase(wiring).update_sql())
    wiring.audit("migrator")
    _end(database.liquibase(wiring, locking=True).update())


@app.command(epilog=examples("voltpay db rollback --count 1"))
@with_settings("store")
def rollback(
    wiring: Wiring,
    count: Annotated[int, number("number of changesets to undo")],
    *,
    yes: Annotated[bool, switch("--yes", "undo them without a question")] = False,
) -> None:
    """Undo the last changesets. If they drop a payment table, its rows are lost."""
    changelog = database.liquibase(wiring, locking=True)
    for undo in changelog.undo_plan(count):
        typer.echo(str(undo))
    if not yes:
        _confirm("undo these changesets?")
    wiring.audit("migrator")
    _end(changelog.rollback(count))


@app.command(epilog=examples("voltpay db status", "voltpay db status --output json"))
@with_settings("store")
def status(wiring: Wiring, *, output: Format = "text") -> None:
    """List the changesets that the database does not have yet."""
    if output == "text":
        _end(database.liquibase(wiring).status())
    applied, pending = database.changesets(wiring)
    typer.echo(json.dumps({"schema": next(reversed(applied), None), "pending": pending}))


@app.command(epilog=examples("voltpay db history", "voltpay db history --output json"))
@with_settings("store")
def history(wiring: Wiring, *, output: Format = "text") -> None:
    """List the changesets that were run, and when."""
    if output == "text":
        _end(database.liquibase(wiring).history())
    applied, _ = database.changesets(wiring)
    rows = [{"changeset": each, "at": at.isoformat()} for each, at in applied.items()]
    typer.echo(json.dumps({"changesets": rows}))


@app.command(epilog=examples("voltpay db clear-checksums"))
@with_settings("store")
def clear_checksums(wiring: Wiring) -> None:
    """Delete the stored checksums of the changesets."""
    wiring.audit("migrator")
    _end(database.liquibase(wiring).clear_checksums())


@app.command(epilog=examples("voltpay db release-locks"))
@with_settings("store")
def release_locks(wiring: Wiring) -> None:
    """Release the changelog's lock that a killed update has left."""
    changelog = database.liquibase(wiring)
    typer.echo(f"the changelog's lock was held by {changelog.lock_holder() or 'nobody'}")
    wiring.audit("migrator")
    _end(changelog.release_locks())


@app.command(epilog=examples("voltpay db validate"))
@with_settings("store")
def validate(wiring: Wiring) -> None:
    """Check the changelog."""
    _end(database.liquibase(wiring).validate())


@app.command(epilog=examples("voltpay db maintain", "voltpay db maintain --output json"))
@with_settings("store")
def maintain(wiring: Wiring, *, output: Format = "text") -> None:
    """Create the partitions of the coming months. Run it daily."""
    made = database.maintain(wiring)
    rows = [
        {
            "table": each.table,
            "name": each.name,
            "start": each.start and each.start.isoformat(),
            "end": each.end and each.end.isoformat(),
        }
        for each in made
    ]
    print_result(output, {"partitions": rows}, map(str, made))


def _confirm(question: str) -> None:
    """Return if a person at the terminal says yes.

    Raises:
        Misconfigured: There is no terminal to ask.
    """
    if not sys.stdin.isatty():
        raise Misconfigured("there is no terminal to ask whether to do this: --yes does it")
    try:
        agreed = typer.confirm(question)
    except typer.Abort:
        agreed = False
    if not agreed:
        tell("declined", "nothing was undone", "nothing was undone")
        raise typer.Exit(ExitCode.STOPPED)


def _end(code: int) -> NoReturn:
    """Liquibase has reported in its own words what was wrong."""
    raise typer.Exit(ExitCode.UNAVAILABLE if code else ExitCode.DONE)
