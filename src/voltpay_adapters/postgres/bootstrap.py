"""The superuser's preparation before Liquibase: roles, schemas, pg_partman and passwords."""

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
        target: The database, with a superuser as its user.
        migrator_password: The new password of ``voltpay_migrator``; None keeps the old one.
        writer_password: The new password of ``voltpay_writer``; None keeps the old one.
        tls: The TLS context; None for no encryption.

    Raises:
        Misconfigured: A password has a character that no password can have.
        Unavailable: The database cannot be reached, or the user lacks the rights.
    """
    with admin_connection(target, tls) as connection:
        connection.run(bootstrap_file().read_text("utf-8"))
        for role, password in ((MIGRATOR, migrator_password), (WRITER, writer_password)):
            if password is not None:
                connection.run(f"ALTER ROLE {role} PASSWORD '{scram_verifier(password)}'")
