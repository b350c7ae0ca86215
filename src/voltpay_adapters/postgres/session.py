"""One session in PostgreSQL, with its timeouts and its prepared statements."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from attrs import define, field
from pg8000.exceptions import DatabaseError
from pg8000.native import PreparedStatement

from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.error_mapping import UNTRANSLATABLE, translate_errors
from voltpay_adapters.postgres.hosts import connect
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Rejected, Unavailable

Row = list[Any]

_FAITHFUL = {"UTF8", "SQL_ASCII"}
"""The database encodings that return every text unchanged."""


@define
class Session:
    """A connection that is of no more use after any error, except an error response of the server.

    Attributes:
        broken: True if a reply may be outstanding: no further statement can be run.
    """

    _connection: PostgresConnection
    broken: bool = field(default=False, init=False)
    _prepared: dict[str, PreparedStatement] = field(factory=dict, init=False)

    @classmethod
    def open(
        cls, target: DatabaseUrl, timeouts: Timeouts, tls: ssl.SSLContext | None = None
    ) -> Session:
        """Connect with `session_settings` and these timeouts.

        Raises:
            Misconfigured: The server needs a password and none is set, or a pooler shares sessions.
            Unavailable: No host can be reached and written to, or (halt) one rejects the login.
        """
        return cls(connect(target, timeouts.client, tls, timeouts.for_server()))

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return self._connection.encoding

    def run(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement; with parameters, it is prepared at its first use.

        Raises:
            Unavailable: The database cannot serve now, or (halt) rejects the statement.
        """
        try:
            return self.attempt(sql, **parameters)
        except Rejected as rejection:
            reason = f"PostgreSQL at {self._connection.label}: SQLSTATE {rejection.sqlstate}"
            raise Unavailable(reason, halt=True) from None

    def attempt(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement, like `run`, that carries payments or their keys.

        Raises:
            Rejected: The database rejects one of them.
            Unavailable: The database cannot serve now.
        """
        self.broken = True
        with translate_errors(self._connection.label):
            try:
                if self.encoding not in _FAITHFUL:
                    self._reject_changed(parameters.values())
                rows = self._statement(sql).run(**parameters) if parameters else self._plain(sql)
            except (DatabaseError, UnicodeEncodeError):  # the latter is raised before sending
                self.broken = False
                raise
        self.broken = False
        return rows or []

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _plain(self, sql: str) -> list[Row] | None:
        rows: list[Row] | None = self._connection.run(sql)
        return rows

    def _reject_changed(self, parameters: Iterable[object]) -> None:
        """Reject text that the database would change: EUC_JP stores U+00A6 as U+FFE4."""
        for text in parameters:
            if isinstance(text, str) and not text.isascii():
                ((kept,),) = self._statement("SELECT :text::text").run(text=text)
                if kept != text:
                    raise DatabaseError({"C": UNTRANSLATABLE})

    def _statement(self, sql: str) -> PreparedStatement:
        if sql not in self._prepared:
            self._prepared[sql] = self._connection.prepare(sql)
        return self._prepared[sql]
