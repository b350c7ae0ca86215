"""Roles, schemas, pg_partman and the passwords: what a superuser does before Liquibase can work."""

from __future__ import annotations

import ssl

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.passwords import scram_verifier
from voltpay_adapters.postgres.resources import bootstrap_file
from voltpay_adapters.postgres.urls import DatabaseUrl

MIGRATOR = "voltpay_migrator"
WRITER = "voltpay_writer"


def bootstrap(
    target: DatabaseUrl,
    *,
    migrator_password: str | None = None,
    writer_password: str | None = None,
    tls: ssl.SSLContext | None = None,
) -> None:
    """Prepare a database for its schema; running it again changes nothing but the passwords.

    Args:
        target: The database, and a superuser to reach it by.
        migrator_password: The new password of ``voltpay_migrator``; None leaves it as it is.
        writer_password: The new password of ``voltpay_writer``; None leaves it as it is.
        tls: How to encrypt and whom to trust; None does without.

    Raises:
        Misconfigured: A password holds what no password can.
        Unavailable: The database cannot be reached, or the user may not do this.
    """
    with admin_connection(target, tls) as connection:
        connection.run(bootstrap_file().read_text("utf-8"))
        for role, password in ((MIGRATOR, migrator_password), (WRITER, writer_password)):
            if password is not None:
                connection.run(f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}'")
