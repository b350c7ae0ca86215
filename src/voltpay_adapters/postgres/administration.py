"""Short-lived sessions for administration of the database."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from attrs import frozen

from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.error_mapping import translate_errors
from voltpay_adapters.postgres.hosts import connect
from voltpay_adapters.postgres.session import Row
from voltpay_adapters.postgres.urls import DatabaseUrl

_ANSWER_SECONDS = 600  # seconds for one answer: maintenance may read a whole month


@frozen
class Administration:
    """A session in UTC with autocommit."""

    _connection: PostgresConnection

    @property
    def target(self) -> DatabaseUrl:
        """The database, with the one host that the session is connected to."""
        return self._connection.target

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return self._connection.encoding

    @property
    def pooled(self) -> bool:
        """Whether the session goes through a connection pooler."""
        return self._connection.pooled

    @property
    def settings(self) -> Mapping[str, str]:
        """The session settings in force, of those that this server knows."""
        return self._connection.settings

    def run(self, sql: str, **parameters: str | float | list[str]) -> list[Row]:
        """Run one statement, or several without parameters.

        Raises:
            Unavailable: The database cannot be reached, or rejects the statement.
        """
        with translate_errors(self._connection.label, carries_payments=False):
            return self._connection.run(sql, **parameters) or []


@contextmanager
def admin_connection(
    target: DatabaseUrl,
    tls: ssl.SSLContext | None = None,
    *,
    statement_seconds: int | None = None,
) -> Iterator[Administration]:
    """A new connection, which is closed at the end.

    Args:
        target: The database, with its user.
        tls: The TLS context; None for no encryption.
        statement_seconds: The server cancels a statement after this time; None for no limit.

    Raises:
        Misconfigured: The server needs a password and none is set, or a pooler shares sessions.
        Unavailable: No host can be reached and written to, or one rejects the login.
    """
    settings, seconds = {}, _ANSWER_SECONDS
    if statement_seconds is not None:
        settings, seconds = {"statement_timeout": f"{statement_seconds}s"}, 2 * statement_seconds
    with closing(connect(target, seconds, tls, settings)) as connection:
        yield Administration(connection)
