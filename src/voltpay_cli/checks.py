"""The doctor: questions about everything that the writer needs, each with its way out."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from attrs import frozen

from voltpay_adapters.kafka.topics import Difference
from voltpay_adapters.local.reading import STDIN, opened
from voltpay_adapters.postgres import inspection
from voltpay_adapters.postgres.administration import Administration, admin_connection
from voltpay_adapters.postgres.resources import changeset_ids
from voltpay_cli import topics
from voltpay_cli.connections import database_target, database_tls, events_url, is_kafka, required
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.settings import Settings
from voltpay_core.errors import Misconfigured, Unavailable


@frozen
class Finding:
    """An answer: what was looked at, and how it is, or what is wrong and what helps."""

    name: str
    message: str
    code: ExitCode = ExitCode.DONE


def run_checks(settings: Settings) -> Iterator[Finding]:
    """Look at everything that the settings name, one thing after the other."""
    yield _ask("settings", lambda: _settings(settings))
    if any(url and is_kafka(url) for url in (settings.source, settings.events)):
        yield from _kafka(settings)
    if settings.source and settings.source.startswith("file:"):
        yield _ask("source", lambda: _readable(settings.source or ""))
    if (url := events_url(settings)) and url.startswith("file:"):
        yield _ask("events", lambda: _writable(Path((url or "").removeprefix("file:"))))
    if settings.store and settings.store.startswith("sqlite:"):
        path = Path(settings.store.removeprefix("sqlite:"))
        yield _ask("store", lambda: _writable(path.parent))
    elif settings.store:
        yield from _postgres(settings, settings.store)


def _ask(name: str, question: Callable[[], str]) -> Finding:
    try:
        return Finding(name, question())
    except (Misconfigured, Unavailable) as error:
        return _fault(name, error)


def _fault(name: str, error: Misconfigured | Unavailable) -> Finding:
    misconfigured = isinstance(error, Misconfigured)
    code = ExitCode.MISCONFIGURED if misconfigured else ExitCode.UNAVAILABLE
    return Finding(name, str(error), code)


def _settings(settings: Settings) -> str:
    required(settings, "source", "store", "events")
    return "source, store and events are set"


def _kafka(settings: Settings) -> Iterator[Finding]:
    found: list[Difference] = []

    def reach() -> str:
        found.extend(topics.find_drift(settings))
        return f"reached {', '.join(topics.clusters(settings))}"

    broker = _ask("broker", reach)
    yield broker
    if broker.code:
        return
    for difference in found:
        yield Finding("topics", str(difference), ExitCode.MISCONFIGURED)
    if not found:
        yield Finding("topics", "all four are as the settings want them")


def _postgres(settings: Settings, url: str) -> Iterator[Finding]:
    questions: dict[str, Callable[[Administration], str]] = {
        "database": _version,
        "encoding": _encoding,
        "schema": _schema,
        "partitions": _months,
        "privileges": _privileges,
        "clock": lambda connection: _clock(connection, settings.limits.clock_skew_seconds),
        "outbox": lambda connection: _outbox(connection, settings.limits.retry_seconds),
    }
    try:
        with admin_connection(database_target(settings, url), database_tls(settings)) as connection:
            for name, question in questions.items():
                yield _ask(name, partial(question, connection))
    except (Misconfigured, Unavailable) as error:
        yield _fault("database", error)


def _version(connection: Administration) -> str:
    ((version, user),) = connection.run("SELECT current_setting('server_version'), current_user")
    way = ", through a connection pooler" if connection.pooled else ""
    return f"PostgreSQL {version} lets {user} in{way}"


def _encoding(connection: Administration) -> str:
    if shortfall := inspection.encoding_shortfall(connection.encoding):
        raise Misconfigured(shortfall)
    return "UTF8 holds every text"


def _schema(connection: Administration) -> str:
    version, known = inspection.schema_version(connection), changeset_ids()
    if version is None:
        raise Misconfigured("there is none; voltpay db bootstrap, then voltpay db update")
    if version not in known:
        raise Misconfigured(f"{version} is newer than this program, which knows {known[-1]}")
    if version != known[-1]:
        raise Misconfigured(f"is at {version}, not {known[-1]}; voltpay db update")
    return f"is at {version}, as this program wants it"


def _months(connection: Administration) -> str:
    present = inspection.partitions(connection)
    if missing := inspection.missing_months(present, datetime.now(UTC)):
        raise Misconfigured(f"missing: {', '.join(missing)}; voltpay db maintain")
    if default := [partition.name for partition in present if partition.start is None]:
        raise Misconfigured(f"DEFAULT partitions hide missing months: drop {', '.join(default)}")
    return "this month and the next have theirs"


def _privileges(connection: Administration) -> str:
    rights = inspection.privileges(connection)
    if rights.missing:
        raise Misconfigured(f"{rights.role} lacks {', '.join(rights.missing)}; voltpay db update")
    if rights.excess:
        raise Misconfigured(
            f"{rights.role} may do too much ({', '.join(rights.excess)}); write as voltpay_writer"
        )
    return f"{rights.role} may write rows, and nothing else"


def _clock(connection: Administration, most: float) -> str:
    ((theirs,),) = connection.run("SELECT clock_timestamp()")
    apart = abs((datetime.now(UTC) - theirs).total_seconds())
    if apart > most:
        raise Unavailable(f"{apart:.0f} s from the database's: set the clock right", halt=True)
    return f"{apart:.1f} s from the database's"


def _outbox(connection: Administration, most: float) -> str:
    ((rows, age),) = connection.run(
        "SELECT count(*), coalesce(extract(epoch FROM now() - min(created_at)), 0)::float"
        " FROM write.outbox"
    )
    if age > most:
        raise Unavailable(f"{rows} rows wait, one for {age:.0f} s; voltpay consume publishes them")
    return f"{rows} rows wait to be published"


def _readable(url: str) -> str:
    path = url.removeprefix("file:")
    if path != STDIN:
        opened(path).close()
    return f"{path} can be read"


def _writable(directory: Path) -> str:
    existing = directory
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        raise Misconfigured(f"cannot write to {directory}: {error.strerror}") from None
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise Misconfigured(f"cannot write to {directory}; name another folder")
    return f"{directory} can be written"
