"""The operator's side of PostgreSQL: Liquibase, the bootstrap and pg_partman, by the settings."""

from __future__ import annotations

import logging

from voltpay_adapters.postgres import bootstrap, maintenance
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.connections import database_tls, required, secret, with_password
from voltpay_cli.settings import Settings
from voltpay_core.errors import Misconfigured

log = logging.getLogger("voltpay")


def liquibase(settings: Settings, *, locking: bool = False) -> Liquibase:
    """Liquibase as the migrator.

    Args:
        locking: Warn where the changelog's lock is held, for which Liquibase would wait.

    Raises:
        Misconfigured: Nothing says which database, or a secret's file cannot be read.
        Unavailable: The database cannot be reached.
    """
    given = settings.database
    found = Liquibase(
        _migrator(settings),
        given.liquibase_classpath,
        given.liquibase,
        sslmode=given.sslmode,
        sslrootcert=given.sslrootcert,
        tls=database_tls(settings),
    )
    if locking and (holder := found.lock_holder()):
        log.warning(
            "the changelog's lock is held by %s; if no update is running: voltpay db release-locks",
            holder,
        )
    return found


def bootstrap_database(settings: Settings) -> None:
    """Make roles, schemas and pg_partman, and set the passwords that are in the settings.

    Raises:
        Misconfigured: Nothing says which database, or a secret's file cannot be read.
        Unavailable: The database cannot be reached, or the user may not do this.
    """
    given = settings.database
    bootstrap.bootstrap(
        DatabaseUrl.parse(given.superuser or _store(settings)),
        migrator_password=_migrator_password(settings),
        writer_password=secret(given.password, given.password_file, "database.password"),
        tls=database_tls(settings),
    )


def maintain(settings: Settings) -> list[str]:
    """Make the months ahead, and tell all partitions that exist now.

    Raises:
        Misconfigured: Nothing says which database, or a secret's file cannot be read.
        Unavailable: The database cannot be reached, or has no schema to maintain.
    """
    partitions = maintenance.maintain(_migrator(settings), database_tls(settings))
    return [
        f"{partition.table} {partition.start:%Y-%m}"
        if partition.start
        else f"{partition.table} DEFAULT: drop it"
        for partition in partitions
    ]


def _migrator(settings: Settings) -> DatabaseUrl:
    """The database, and the migrator with its password to reach it by."""
    return with_password(
        settings.database.migrator or _store(settings), _migrator_password(settings)
    )


def _migrator_password(settings: Settings) -> str | None:
    given = settings.database
    return secret(
        given.migrator_password, given.migrator_password_file, "database.migrator_password"
    )


def _store(settings: Settings) -> str:
    (url,) = required(settings, "store")
    if url.startswith("sqlite:"):
        raise Misconfigured(
            "the store is SQLite, which makes its own tables: `voltpay db` is for PostgreSQL"
        )
    return url
