"""pg8000's connection: any password logs in, and the session sets what defaults could bend."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from pg8000.native import Connection

from voltpay_adapters.postgres import passwords, session_settings
from voltpay_adapters.postgres.poolers import is_pooled
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

_ASKS_FOR_PASSWORD = {3, 5, 10}  # in clear, as MD5, by SASL
_SASL = 10


class PostgresConnection(Connection):  # type: ignore[misc]
    """A connection of pg8000.

    Attributes:
        target: The database, by the one host that it is.
        settings: What the session has set for itself.
        pooled: Whether a connection pooler stands between.
    """

    target: DatabaseUrl
    settings: Mapping[str, str]
    pooled: bool
    user: bytes
    password: bytes | None

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
        """Set `session_settings` and these."""
        process, self.settings = session_settings.fix(self, settings)
        self.pooled = is_pooled(self._backend_key_data, process)

    def wait_for_answers(self, seconds: float) -> None:
        """Let an answer take so long from now on."""
        self._usock.settimeout(seconds)  # with TLS it is another socket than the one given

    def close(self) -> None:
        """Close it, politely where the server still listens."""
        opened = [getattr(self, name, None) for name in ("_sock", "_usock")]
        with suppress(Exception):  # it is gone either way
            super().close()
        for each in filter(None, opened):  # the file that pg8000 made of the socket keeps it open
            with suppress(Exception):
                each.close()

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return str(self.parameter_statuses["server_encoding"])

    def handle_AUTHENTICATION_REQUEST(self, data: bytes, context: Any) -> None:  # noqa: N802
        """Answer the server's request for a password, or what follows of it.

        Raises:
            Misconfigured: There is no password.
        """
        kind = int.from_bytes(data[:4], "big")
        user, password = self.user, self.password
        if password is None and kind in _ASKS_FOR_PASSWORD:
            raise Misconfigured(f"PostgreSQL at {self.label} asks for a password")
        if password is None or kind != _SASL:
            super().handle_AUTHENTICATION_REQUEST(data, context)
            return
        # Its SCRAM client refuses what SASLprep forbids. It does not need the password yet, and the
        # server knows the user already.
        self.user = self.password = b"-"
        super().handle_AUTHENTICATION_REQUEST(data, context)
        self.user, self.password = user, password
        self.auth.password = passwords.prepared(password)
