"""PostgreSQL as the settings name it, for the writer and for its operator."""

from __future__ import annotations

import logging
import ssl

from voltpay_adapters.postgres import bootstrap, maintenance
from voltpay_adapters.postgres.inspection import TablePartition
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.tls import tls_context
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.urls import Url
from voltpay_cli.settings import Settings
from voltpay_cli.settings.loading import secret
from voltpay_core.errors import Misconfigured

log = logging.getLogger("voltpay")


def database_tls(settings: Settings) -> ssl.SSLContext | None:
    """How connections to PostgreSQL are encrypted; None where they are not.

    Raises:
        Misconfigured: The certificates cannot be read.
    """
    return tls_context(settings.database.sslmode, settings.database.sslrootcert)


def writer(settings: Settings, url: Url) -> DatabaseUrl:
    """The database that this URL names, and the writer's password."""
    return DatabaseUrl.parse(url).with_password(_writer_password(settings))


def liquibase(settings: Settings, *, locking: bool = False) -> Liquibase:
    """Liquibase as the migrator.

    Args:
        locking: Warn where the changelog's lock is held, for which Liquibase would wait.
    """
    given = settings.database
    found = Liquibase(
        _migrator(settings),
        given.liquibase_classpath,
        given.liquibase,
        given.sslmode,
        given.sslrootcert,
    )
    if locking and (holder := found.lock_holder()):
        log.warning(
            "the changelog's lock is held by %s; if no update is running: voltpay db release-locks",
            holder,
        )
    return found


def bootstrap_database(settings: Settings) -> None:
    """Make roles, schemas and pg_partman, and set the passwords that are in the settings."""
    bootstrap.bootstrap(
        DatabaseUrl.parse(settings.database.superuser or _store(settings)),
        migrator_password=_migrator_password(settings),
        writer_password=_writer_password(settings),
        tls=database_tls(settings),
    )


def maintain(settings: Settings) -> tuple[TablePartition, ...]:
    """Make the months ahead, and return all partitions that exist now."""
    return maintenance.maintain(_migrator(settings), database_tls(settings))


def _migrator(settings: Settings) -> DatabaseUrl:
    url = DatabaseUrl.parse(settings.database.migrator or _store(settings))
    return url.with_password(_migrator_password(settings))


def _migrator_password(settings: Settings) -> str | None:
    given = settings.database
    return secret(
        given.migrator_password, given.migrator_password_file, "database.migrator_password"
    )


def _writer_password(settings: Settings) -> str | None:
    given = settings.database
    return secret(given.password, given.password_file, "database.password")


def _store(settings: Settings) -> str:
    (url,) = settings.required("store")
    if url.is_sqlite:
        raise Misconfigured(
            "the store is SQLite, which makes its own tables: `voltpay db` is for PostgreSQL"
        )
    return url
