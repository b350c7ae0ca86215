"""Creates and maintains the schema in PostgreSQL, as the superuser or the migrator."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import TYPE_CHECKING

from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.console.lines import event
from voltpay_cli.settings import Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured

if TYPE_CHECKING:
    from voltpay_adapters.postgres.inspection import TablePartition
    from voltpay_adapters.postgres.liquibase import Liquibase

log = logging.getLogger("voltpay")


def liquibase(wiring: Wiring, *, locking: bool = False) -> Liquibase:
    """Liquibase as the migrator.

    Args:
        locking: Warn if somebody holds the changelog's lock, for which Liquibase would wait.
    """
    from voltpay_adapters.postgres.liquibase import Liquibase

    settings = wiring.settings.database
    found = Liquibase(
        _migrator(wiring),
        classpath=settings.liquibase_classpath,
        program=settings.liquibase,
        sslmode=settings.sslmode,
        sslrootcert=settings.sslrootcert,
    )
    if locking and (holder := found.lock_holder()):
        log.warning(
            "the changelog's lock is held by %s; if no update is running: voltpay db release-locks",
            holder,
            extra=event("changelog-locked"),
        )
    return found


def bootstrap(wiring: Wiring) -> None:
    """Make roles, schemas and pg_partman, and set the passwords that are in the settings."""
    from voltpay_adapters.postgres.bootstrap import bootstrap as prepare

    settings = wiring.settings.database
    prepare(
        wiring.database_url(settings.superuser or _store(wiring.settings)),
        migrator_password=settings.migrator_secret(),
        writer_password=settings.writer_secret(),
        tls=settings.tls(),
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


def _migrator(wiring: Wiring) -> DatabaseUrl:
    settings = wiring.settings.database
    url = wiring.database_url(settings.migrator or _store(wiring.settings))
    return url.with_password(settings.migrator_secret())


def _store(settings: Settings) -> str:
    (url,) = settings.required("store")
    if url.is_sqlite:
        raise Misconfigured(
            "the store is SQLite, which makes its own tables: `voltpay db` is for PostgreSQL"
        )
    return url
