"""Read-only queries about a database: partitions, privileges, outbox, claims, clock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice

from attrs import frozen

from voltpay_adapters.postgres.administration import Administration

PAYMENT_TABLES = ("payment_core", "payment_metadata", "payment_notes")

_WRITER_NEEDS = {
    "databasechangelog": ("SELECT",),
    "idempotency": ("SELECT", "INSERT", "DELETE"),
    "outbox": ("SELECT", "INSERT", "DELETE"),
    "partition_fence": ("SELECT", "INSERT", "UPDATE"),
    **dict.fromkeys(PAYMENT_TABLES, ("SELECT", "INSERT")),
}

# Versions of pg_partman name partitions differently; the bounds are the same.
_PARTITIONS = r"""
    SELECT parent.relname, child.relname, bound.lower::timestamptz, bound.upper::timestamptz
    FROM pg_inherits
    JOIN pg_class AS parent ON parent.oid = inhparent
    JOIN pg_class AS child ON child.oid = inhrelid
    JOIN pg_namespace AS space ON space.oid = parent.relnamespace
    CROSS JOIN pg_get_expr(child.relpartbound, child.oid) AS expression
    CROSS JOIN LATERAL (SELECT substring(expression FROM 'FROM \(''([^'']+)''\)') AS lower,
                               substring(expression FROM 'TO \(''([^'']+)''\)') AS upper) AS bound
    WHERE space.nspname = 'write' AND parent.relkind = 'p'
    ORDER BY 1, 3, 2
"""

_EXCESS = """
    SELECT 'superuser' FROM pg_roles WHERE rolname = current_user AND rolsuper
    UNION ALL
    SELECT 'CREATE in database ' || current_database()
    WHERE has_database_privilege(current_database(), 'CREATE')
    UNION ALL
    SELECT 'CREATE in schema ' || nspname
    FROM pg_namespace
    WHERE nspname IN ('write', 'partman', 'public') AND has_schema_privilege(oid, 'CREATE')
    UNION ALL
    SELECT CASE WHEN pg_has_role(relowner, 'USAGE') THEN 'owner of ' ELSE 'TRUNCATE on ' END
           || oid::regclass
    FROM pg_class
    WHERE relnamespace = to_regnamespace('write') AND relkind IN ('r', 'p')
      AND (pg_has_role(relowner, 'USAGE') OR has_table_privilege(oid, 'TRUNCATE'))
"""


@frozen
class TablePartition:
    """One partition of a payment table: rows from `start` (inclusive) to `end` (exclusive).

    Both are None for a DEFAULT partition, which should not exist.
    """

    table: str
    name: str
    start: datetime | None
    end: datetime | None

    def __str__(self) -> str:
        month = f"{self.start:%Y-%m}" if self.start else "DEFAULT: drop it"
        return f"{self.table} {month}"


@frozen
class Privileges:
    """The differences between the current role's privileges and the writer's.

    Attributes:
        missing: Privileges that it lacks, such as ``INSERT on write.outbox``.
        excess: Privileges to change the schema, such as ``CREATE in schema write``.
    """

    role: str
    missing: tuple[str, ...]
    excess: tuple[str, ...]


@frozen
class Backlog:
    """The outbox: its number of rows, and the age of the oldest in seconds."""

    rows: int
    oldest: float


def version_and_user(connection: Administration) -> tuple[str, str]:
    """The server's version and the current role."""
    ((version, user),) = connection.run("SELECT current_setting('server_version'), current_user")
    return version, user


def clock_difference(connection: Administration) -> float:
    """Seconds between this machine's clock and the database's."""
    ((there,),) = connection.run("SELECT clock_timestamp()")
    difference: float = abs((datetime.now(UTC) - there).total_seconds())
    return difference


def outbox_backlog(connection: Administration) -> Backlog:
    """The outbox rows that are not published."""
    ((rows, age),) = connection.run(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float"
        " FROM write.outbox"
    )
    return Backlog(rows, age)


def oldest_claim(connection: Administration) -> float:
    """The age of the oldest claim in seconds; 0 if there is none.

    No index has the claims in this order, so at most about a thousand pages are read, the same
    ones every time. They are all pages of a small table.
    """
    ((age,),) = connection.run(
        "SELECT coalesce(extract(epoch FROM now() - min(date)), 0)::float"
        " FROM write.idempotency TABLESAMPLE SYSTEM"
        " (least(100, 100 * 1000.0 * 8192 / (1 + pg_relation_size('write.idempotency'))))"
        " REPEATABLE (0)"
    )
    return float(age)


def held_node_ids(connection: Administration, first_key: int) -> tuple[int, ...]:
    """The node ids that running processes hold in this database, in order.

    Args:
        first_key: The first key of the advisory locks.
    """
    rows = connection.run(
        "SELECT objid FROM pg_locks JOIN pg_database ON pg_database.oid = database"
        " WHERE locktype = 'advisory' AND datname = current_database()"
        " AND classid = :first_key::bigint::oid ORDER BY 1",
        first_key=first_key,
    )
    return tuple(int(node_id) for (node_id,) in rows)


def encoding_shortfall(encoding: str) -> str | None:
    """The problem with a database in this encoding, and its solution; None for UTF8."""
    if encoding == "UTF8":
        return None
    loss = (
        "SQL_ASCII counts bytes as characters and checks nothing"
        if encoding == "SQL_ASCII"
        else f"{encoding} cannot hold every character"
    )
    return (
        f"{loss}: payments with text that the database rejects become dead letters; move them to a"
        " database with ENCODING 'UTF8'"
    )


def partitions(connection: Administration) -> tuple[TablePartition, ...]:
    """All partitions of the payment tables, in the order of table and time."""
    return tuple(TablePartition(*row) for row in connection.run(_PARTITIONS))


def months_ahead(existing: Iterable[TablePartition], now: datetime) -> dict[str, int]:
    """The months without a gap after the current one, by table; -1 if the current one is missing.

    Args:
        now: The current time, with its time zone.
    """
    present = {(partition.table, partition.start) for partition in existing}

    def count(table: str) -> int:
        return next(n for n, month in enumerate(_months(now)) if (table, month) not in present) - 1

    return {table: count(table) for table in PAYMENT_TABLES}


def missing_months(existing: Iterable[TablePartition], now: datetime) -> tuple[str, ...]:
    """The missing partitions of this month and the next, such as ``payment_core 2025-01``.

    Args:
        now: The current time, with its time zone.
    """
    present = {(partition.table, partition.start) for partition in existing}
    return tuple(
        f"{table} {month:%Y-%m}"
        for table in PAYMENT_TABLES
        for month in islice(_months(now), 2)
        if (table, month) not in present
    )


def _months(now: datetime) -> Iterator[datetime]:
    """The starts of this month and of all later ones."""
    month = now.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    while True:
        yield month
        month = (month + timedelta(days=31)).replace(day=1)


def privileges(connection: Administration) -> Privileges:
    """Compare the privileges of the current role with those that the writer needs."""
    needs = [(name, right) for name, rights in _WRITER_NEEDS.items() for right in rights]
    missing = connection.run(
        """
        SELECT "right" || ' on write.' || name
        FROM unnest(:names::text[], :rights::text[]) AS need(name, "right")
        WHERE has_table_privilege(to_regclass('write.' || name), "right") IS NOT TRUE
        """,
        names=[name for name, _ in needs],
        rights=[right for _, right in needs],
    )
    ((role,),) = connection.run("SELECT current_user")
    excess = connection.run(_EXCESS)
    return Privileges(role, tuple(need for (need,) in missing), tuple(more for (more,) in excess))
