"""Checks whether a database is ready for the writer, and reads what its tables hold."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from voltpay_adapters.findings import Finding, ask
from voltpay_adapters.postgres import changelog, inspection
from voltpay_adapters.postgres.administration import Administration, admin_connection
from voltpay_adapters.postgres.database import NODE_LOCKS
from voltpay_adapters.postgres.resources import changeset_ids
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.snapshots import StoreState
from voltpay_core.errors import Misconfigured, Unavailable

_STATEMENT_SECONDS = 15


def check(
    target: DatabaseUrl,
    tls: ssl.SSLContext | None = None,
    *,
    clock_skew: float,
    outbox_age: float,
) -> Iterator[Finding]:
    """Check everything that the writer needs of its database.

    Args:
        target: The database, with the writer's user.
        tls: The TLS context; None for no encryption.
        clock_skew: Seconds that this machine's clock and the database's may be apart.
        outbox_age: Seconds that a row may stay in the outbox.
    """
    questions: dict[str, Callable[[Administration], str]] = {
        "database": _server,
        "encoding": _encoding,
        "schema": _schema,
        "partitions": _partitions,
        "privileges": _privileges,
        "clock": partial(_clock, most=clock_skew),
        "outbox": partial(_outbox, most=outbox_age),
    }
    try:
        with admin_connection(target, tls, statement_seconds=_STATEMENT_SECONDS) as connection:
            for name, question in questions.items():
                yield ask(name, partial(question, connection))
    except (Misconfigured, Unavailable) as failure:
        yield Finding("database", failure)


def read_state(target: DatabaseUrl, tls: ssl.SSLContext | None = None) -> StoreState:
    """Read what the tables hold beside payments.

    Args:
        target: The database, with the writer's user.
        tls: The TLS context; None for no encryption.

    Raises:
        Misconfigured: The server needs a password and none is set, or a pooler shares sessions.
        Unavailable: The database cannot be reached, or has no tables.
    """
    with admin_connection(target, tls, statement_seconds=_STATEMENT_SECONDS) as connection:
        if changelog.schema_version(connection) is None:
            raise Unavailable("the database has no schema", halt=True, code="no-schema")
        backlog = inspection.outbox_backlog(connection)
        return StoreState(
            outbox_rows=backlog.rows,
            outbox_oldest=backlog.oldest,
            oldest_claim=inspection.oldest_claim(connection),
            months_ahead=inspection.months_ahead(
                inspection.partitions(connection), datetime.now(UTC)
            ),
            clock_difference=inspection.clock_difference(connection),
            node_ids=inspection.held_node_ids(connection, NODE_LOCKS),
        )


def _server(connection: Administration) -> str:
    version, user = inspection.version_and_user(connection)
    pooler = " through a connection pooler" if connection.pooled else ""
    return f"PostgreSQL {version} accepts {user}{pooler}"


def _encoding(connection: Administration) -> str:
    if shortfall := inspection.encoding_shortfall(connection.encoding):
        raise Misconfigured(shortfall, code="encoding")
    return "UTF8 can hold every text"


def _schema(connection: Administration) -> str:
    version, known = changelog.schema_version(connection), changeset_ids()
    if version is None:
        raise Misconfigured("does not exist", code="no-schema")
    if version not in known:
        raise Misconfigured(
            f"{version} is newer than this program's {known[-1]}", code="newer-schema"
        )
    if version != known[-1]:
        raise Misconfigured(f"is at {version}, not {known[-1]}", code="older-schema")
    return f"is at {version}, as required"


def _partitions(connection: Administration) -> str:
    present = inspection.partitions(connection)
    if missing := inspection.missing_months(present, datetime.now(UTC)):
        raise Misconfigured(f"missing: {', '.join(missing)}", code="no-partition")
    if default := [partition.name for partition in present if partition.start is None]:
        raise Misconfigured(
            f"DEFAULT partitions hide missing months: drop {', '.join(default)}",
            code="default-partition",
        )
    return "exist for this month and the next"


def _privileges(connection: Administration) -> str:
    rights = inspection.privileges(connection)
    if rights.missing:
        raise Misconfigured(
            f"{rights.role} lacks {', '.join(rights.missing)}", code="missing-privileges"
        )
    if rights.excess:
        raise Misconfigured(
            f"{rights.role} has too many rights ({', '.join(rights.excess)});"
            " write as voltpay_writer",
            code="excess-privileges",
        )
    return f"{rights.role} may only write rows"


def _clock(connection: Administration, most: float) -> str:
    apart = inspection.clock_difference(connection)
    if apart > most:
        raise Unavailable(
            f"{apart:.0f} s from the database's: correct the clock",
            halt=True,
            code="clock-skew",
        )
    return f"{apart:.1f} s from the database's"


def _outbox(connection: Administration, most: float) -> str:
    backlog = inspection.outbox_backlog(connection)
    if backlog.oldest > most:
        raise Unavailable(
            f"{backlog.rows} rows wait, the oldest for {backlog.oldest:.0f} s", code="outbox-waits"
        )
    return f"{backlog.rows} rows wait to be published"
