"""Read-only queries about the changelog: what was run, what a rollback drops, who locks it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from attrs import frozen

from voltpay_adapters.postgres.administration import Administration
from voltpay_adapters.postgres.resources import rollbacks

MANY_ROWS = 10_000
"""Rows of a table that is dropped are counted up to this number."""

_DROPPED = re.compile(r"DROP TABLE (write\.\w+)")


@frozen
class Undo:
    """The rollback of one changeset.

    Attributes:
        sql: What it runs.
        dropped: The number of rows in each table that it drops, counted up to `MANY_ROWS`.
    """

    changeset: str
    sql: str
    dropped: Mapping[str, int]

    def __str__(self) -> str:
        tables = [f"{table} ({_rows(count)})" for table, count in self.dropped.items()]
        return f"{self.changeset}: " + (f"drops {', '.join(tables)}" if tables else self.sql)


def schema_version(connection: Administration) -> str | None:
    """The id of the last changeset that was run; None if there was none.

    The schema is up to date if it is the last of
    `voltpay_adapters.postgres.resources.changeset_ids`.
    """
    return next(reversed(applied_changesets(connection)), None)


def applied_changesets(connection: Administration) -> dict[str, datetime]:
    """The ids of the changesets that were run, in order, each with its time."""
    if connection.run("SELECT to_regclass('write.databasechangelog')") == [[None]]:
        return {}
    rows = connection.run(
        "SELECT id, dateexecuted AT TIME ZONE 'UTC' FROM write.databasechangelog"
        " ORDER BY orderexecuted"
    )
    return {str(changeset): at for changeset, at in rows}


def changelog_lock(connection: Administration) -> str | None:
    """The holder of Liquibase's lock, and the time since when; None if it is free."""
    if connection.run("SELECT to_regclass('write.databasechangeloglock')") == [[None]]:
        return None
    rows = connection.run(
        "SELECT concat_ws(' since ', lockedby, lockgranted)"
        " FROM write.databasechangeloglock WHERE locked"
    )
    return rows[0][0] if rows else None


def undo_plan(connection: Administration, count: int) -> tuple[Undo, ...]:
    """What a rollback of the last changesets would do, in its order.

    Args:
        count: The number of changesets.
    """
    known, newest_first = rollbacks(), [*applied_changesets(connection)][::-1]
    return tuple(
        _undo(connection, changeset, known.get(changeset, "not known to this program"))
        for changeset in newest_first[:count]
    )


def _undo(connection: Administration, changeset: str, sql: str) -> Undo:
    dropped = {table: _count_rows(connection, table) for table in _DROPPED.findall(sql)}
    return Undo(changeset, sql, dropped)


def _count_rows(connection: Administration, table: str) -> int:
    ((rows,),) = connection.run(
        f"SELECT count(*) FROM (SELECT FROM {table} LIMIT {MANY_ROWS}) AS found"  # noqa: S608 - ours
    )
    return int(rows)


def _rows(count: int) -> str:
    return f"{MANY_ROWS} rows or more" if count >= MANY_ROWS else f"{count} rows"
