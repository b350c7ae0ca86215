"""Short-lived sessions for the care of the database, apart from the writing of payments."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager

from attrs import frozen

from voltpay_adapters.postgres.connecting import connect
from voltpay_adapters.postgres.connection import Row
from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.error_mapping import translate_errors
from voltpay_adapters.postgres.urls import DatabaseUrl

_ANSWER_SECONDS = 600  # seconds for one answer: maintenance may read a whole month


@frozen
class Administration:
    """A session in UTC, where every statement commits by itself."""

    _connection: PostgresConnection

    @property
    def target(self) -> DatabaseUrl:
        """The database, by the one host that was found for it."""
        return self._connection.target

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return self._connection.encoding

    @property
    def pooled(self) -> bool:
        """Whether a connection pooler stands between."""
        return self._connection.pooled

    @property
    def settings(self) -> Mapping[str, str]:
        """What the session has set for itself, of what this server knows."""
        return self._connection.settings

    def run(self, sql: str, **parameters: str | float | list[str]) -> list[Row]:
        """Run one statement, or several without parameters.

        Raises:
            Unavailable: The database cannot be reached, or refuses it.
        """
        with translate_errors(self._connection.label, carries_payments=False):
            return self._connection.run(sql, **parameters) or []


@contextmanager
def admin_connection(
    target: DatabaseUrl, tls: ssl.SSLContext | None = None
) -> Iterator[Administration]:
    """A connection of its own.

    Args:
        target: The database, and the user to reach it by.
        tls: How to encrypt and whom to trust; None does without.

    Raises:
        Misconfigured: It asks for a password, and there is none; or a pooler shares sessions.
        Unavailable: No host can be reached and written to, or one does not let us in.
    """
    with closing(connect(target, _ANSWER_SECONDS, tls)) as connection:
        yield Administration(connection)
