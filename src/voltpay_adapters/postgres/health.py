"""Whether a database is ready for the writer: one question after the other."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial

from voltpay_adapters.checking import Finding, ask
from voltpay_adapters.postgres import inspection
from voltpay_adapters.postgres.administration import Administration, admin_connection
from voltpay_adapters.postgres.resources import changeset_ids
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured, Unavailable


def check(
    target: DatabaseUrl,
    tls: ssl.SSLContext | None = None,
    *,
    clock_skew: float,
    outbox_age: float,
) -> Iterator[Finding]:
    """Look at everything that the writer needs of its database.

    Args:
        target: The database, and the writer to reach it by.
        tls: How to encrypt and whom to trust; None does without.
        clock_skew: Seconds that this machine's clock and the database's may be apart.
        outbox_age: Seconds that events may wait in the outbox.
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
        with admin_connection(target, tls) as connection:
            for name, question in questions.items():
                yield ask(name, partial(question, connection))
    except (Misconfigured, Unavailable) as failure:
        yield Finding("database", failure)


def _server(connection: Administration) -> str:
    version, user = inspection.version_and_user(connection)
    way = ", through a connection pooler" if connection.pooled else ""
    return f"PostgreSQL {version} lets {user} in{way}"


def _encoding(connection: Administration) -> str:
    if shortfall := inspection.encoding_shortfall(connection.encoding):
        raise Misconfigured(shortfall, code="encoding")
    return "UTF8 holds every text"


def _schema(connection: Administration) -> str:
    version, known = inspection.schema_version(connection), changeset_ids()
    if version is None:
        raise Misconfigured("there is none", code="no-schema")
    if version not in known:
        raise Misconfigured(
            f"{version} is newer than this program, which knows {known[-1]}", code="newer-schema"
        )
    if version != known[-1]:
        raise Misconfigured(f"is at {version}, not {known[-1]}", code="older-schema")
    return f"is at {version}, as this program wants it"


def _partitions(connection: Administration) -> str:
    present = inspection.partitions(connection)
    if missing := inspection.missing_months(present, datetime.now(UTC)):
        raise Misconfigured(f"missing: {', '.join(missing)}", code="no-partition")
    if default := [partition.name for partition in present if partition.start is None]:
        raise Misconfigured(
            f"DEFAULT partitions hide missing months: drop {', '.join(default)}",
            code="default-partition",
        )
    return "this month and the next have theirs"


def _privileges(connection: Administration) -> str:
    rights = inspection.privileges(connection)
    if rights.missing:
        raise Misconfigured(
            f"{rights.role} lacks {', '.join(rights.missing)}", code="missing-privileges"
        )
    if rights.excess:
        raise Misconfigured(
            f"{rights.role} may do too much ({', '.join(rights.excess)}); write as voltpay_writer",
            code="excess-privileges",
        )
    return f"{rights.role} may write rows, and nothing else"


def _clock(connection: Administration, most: float) -> str:
    apart = inspection.clock_difference(connection)
    if apart > most:
        raise Unavailable(
            f"{apart:.0f} s from the database's: set the clock right",
            halt=True,
            code="clock-skew",
        )
    return f"{apart:.1f} s from the database's"


def _outbox(connection: Administration, most: float) -> str:
    backlog = inspection.outbox_backlog(connection)
    if backlog.oldest > most:
        raise Unavailable(
            f"{backlog.rows} rows wait, one for {backlog.oldest:.0f} s", code="outbox-waits"
        )
    return f"{backlog.rows} rows wait to be published"
