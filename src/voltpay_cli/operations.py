"""What an operator does: checks everything, and cares for the schema in PostgreSQL."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from voltpay_adapters import snapshots
from voltpay_adapters.checking import Finding, ask
from voltpay_adapters.local.checking import check_readable, check_writable
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.snapshots import Snapshot
from voltpay_adapters.urls import Url
from voltpay_cli.console.lines import event
from voltpay_cli.settings import Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from voltpay_adapters.postgres.inspection import TablePartition
    from voltpay_adapters.postgres.liquibase import Liquibase

log = logging.getLogger("voltpay")


def run_checks(wiring: Wiring) -> Iterator[Finding]:
    """Look at everything that the settings name, one thing after the other."""
    settings = wiring.settings
    source, store, events = settings.source, settings.store, settings.events_url
    yield ask("settings", lambda: _complete(settings))
    if (source and source.is_kafka) or (events and events.is_kafka):
        yield from _guarded("broker", lambda: wiring.topics().check())
    if source and not source.is_kafka:
        yield ask("source", lambda: check_readable(source.path))
    if events and not events.is_kafka:
        yield ask("events", lambda: check_writable(Path(events.path)))
    if store and store.is_sqlite:
        yield ask("store", lambda: check_writable(Path(store.path).parent))
    elif store:
        yield from _guarded("database", lambda: _database(wiring, store))


def take_snapshot(wiring: Wiring) -> Snapshot:
    """Look at the whole system at once; a part that cannot be read is its failure.

    Raises:
        Misconfigured: A setting cannot work.
    """
    return snapshots.take(
        wiring.now(),
        group=wiring.group_reader(),
        store=wiring.store_reader(),
        dead_letters=wiring.dead_letter_counter(),
        checks=lambda: run_checks(wiring),
    )


def liquibase(wiring: Wiring, *, locking: bool = False) -> Liquibase:
    """Liquibase as the migrator.

    Args:
        locking: Warn where the changelog's lock is held, for which Liquibase would wait.
    """
    from voltpay_adapters.postgres.liquibase import Liquibase

    given = wiring.settings.database
    found = Liquibase(
        _migrator(wiring),
        given.liquibase_classpath,
        given.liquibase,
        given.sslmode,
        given.sslrootcert,
    )
    if locking and (holder := found.lock_holder()):
        log.warning(
            "the changelog's lock is held by %s; if no update is running: voltpay db release-locks",
            holder,
            extra=event("changelog-locked"),
        )
    return found


def bootstrap_database(wiring: Wiring) -> None:
    """Make roles, schemas and pg_partman, and set the passwords that are in the settings."""
    from voltpay_adapters.postgres import bootstrap

    given = wiring.settings.database
    bootstrap.bootstrap(
        wiring.database_url(given.superuser or _store(wiring.settings)),
        migrator_password=given.migrator_secret(),
        writer_password=given.writer_secret(),
        tls=given.tls(),
    )


def changesets(wiring: Wiring) -> tuple[dict[str, datetime], list[str]]:
    """The changesets that were run, with their times, and those that the database lacks."""
    from voltpay_adapters.postgres.resources import changeset_ids

    applied = liquibase(wiring).applied()
    return applied, [changeset for changeset in changeset_ids() if changeset not in applied]


def maintain(wiring: Wiring) -> tuple[TablePartition, ...]:
    """Make the months ahead, and return all partitions that exist now."""
    from voltpay_adapters.postgres import maintenance

    return maintenance.maintain(_migrator(wiring), wiring.settings.database.tls())


def _complete(settings: Settings) -> str:
    settings.required("source", "store", "events")
    return "source, store and events are set"


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (Misconfigured, Unavailable) as failure:
        yield Finding(name, failure)


def _database(wiring: Wiring, url: Url) -> Iterator[Finding]:
    from voltpay_adapters.postgres import health

    limits = wiring.settings.limits
    return health.check(
        *wiring.postgres(url),
        clock_skew=limits.clock_skew_seconds,
        outbox_age=limits.retry_seconds,
    )


def _migrator(wiring: Wiring) -> DatabaseUrl:
    given = wiring.settings.database
    url = wiring.database_url(given.migrator or _store(wiring.settings))
    return url.with_password(given.migrator_secret())


def _store(settings: Settings) -> str:
    (url,) = settings.required("store")
    if url.is_sqlite:
        raise Misconfigured(
            "the store is SQLite, which makes its own tables: `voltpay db` is for PostgreSQL"
        )
    return url
