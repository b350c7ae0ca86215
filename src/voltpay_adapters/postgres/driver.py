"""A connection of pg8000 that accepts every password and sets its own session settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pg8000.native import Connection

from voltpay_adapters.postgres import passwords, quirks, session_settings
from voltpay_adapters.postgres.poolers import is_pooled
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

_ASKS_FOR_PASSWORD = {3, 5, 10}  # in clear text, as MD5, by SASL
_SASL = 10


class PostgresConnection(Connection):  # type: ignore[misc]
    """A connection of pg8000.

    Attributes:
        target: The database, with the one host of this connection.
        settings: The session settings in force.
        pooled: Whether the connection goes through a connection pooler.
    """

    target: DatabaseUrl
    settings: Mapping[str, str]
    pooled: bool
    user: bytes
    password: bytes | None
    auth: Any

    def __init__(self, target: DatabaseUrl, *arguments: Any, **options: Any) -> None:
        self.target = target
        try:
            super().__init__(*arguments, **options)
        except BaseException:
            self.close()
            raise

    @property
    def label(self) -> str:
        """The database's name for people."""
        return self.target.label

    def fix(self, settings: Mapping[str, str]) -> None:
        """Apply `session_settings` and these."""
        process, self.settings = session_settings.fix(self, settings)
        self.pooled = is_pooled(quirks.backend_key_data(self), process)

    def wait_for_answers(self, seconds: float) -> None:
        """Wait at most this long for each answer from now on."""
        quirks.set_timeout(self, seconds)

    def close(self) -> None:
        """Close the connection; the server is notified if it can be reached."""
        with quirks.closing_files(self):
            super().close()

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return str(self.parameter_statuses["server_encoding"])

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802
        """Answer a message of the login: a request for a password, or a later step.

        Raises:
            Misconfigured: There is no password.
        """
        kind, password = int.from_bytes(data[:4], "big"), self.password
        if password is None and kind in _ASKS_FOR_PASSWORD:
            raise Misconfigured(f"PostgreSQL at {self.label} needs a password")
        if password is None or kind != _SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        with quirks.scram_password(self, passwords.prepared(password)):
            super().handle_AUTHENTICATION_REQUEST(data, context)
