"""One session in PostgreSQL, with its time-outs and its prepared statements."""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from typing import Any

from attrs import define, field, frozen
from pg8000.exceptions import DatabaseError
from pg8000.native import PreparedStatement

from voltpay_adapters.postgres.connecting import connect
from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.error_mapping import UNTRANSLATABLE, translate_errors
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Rejected, Unavailable

Row = list[Any]

_FAITHFUL = {"UTF8", "SQL_ASCII"}
"""The encodings of databases that give back whatever text they take."""


@frozen
class Timeouts:
    """How long anything may take, in seconds; the client outwaits the server.

    Attributes:
        lock: For a row that another transaction holds.
        statement: For one statement.
        idle: For a transaction whose client says nothing, such as a stalled one (G5).
    """

    lock: float = 10
    statement: float = 30
    idle: float = 60

    @property
    def client(self) -> float:
        """For an answer, before the connection counts as dead."""
        return self.statement * 1.2 + 5

    def for_server(self) -> dict[str, str]:
        """As PostgreSQL's settings."""
        return {
            "lock_timeout": str(int(self.lock * 1000)),
            "statement_timeout": str(int(self.statement * 1000)),
            "idle_in_transaction_session_timeout": str(int(self.idle * 1000)),
            "tcp_keepalives_idle": "15",  # the server ends the session of a vanished client,
            "tcp_keepalives_interval": "5",  # and with it the lease of its node id
            "tcp_keepalives_count": "3",
        }


@define
class Session:
    """A connection that is thrown away after anything but a refusal by the database itself.

    Attributes:
        broken: True where a reply may be outstanding: nothing can be asked any more.
    """

    _connection: PostgresConnection
    broken: bool = field(default=False, init=False)
    _prepared: dict[str, PreparedStatement] = field(factory=dict, init=False)

    @classmethod
    def open(
        cls, target: DatabaseUrl, timeouts: Timeouts, tls: ssl.SSLContext | None = None
    ) -> Session:
        """Connect, with settings of our own and with these time-outs.

        Raises:
            Misconfigured: It asks for a password, and there is none; or a pooler shares sessions.
            Unavailable: No host can be reached and written to, or (halt) one does not let us in.
        """
        return cls(connect(target, timeouts.client, tls, timeouts.for_server()))

    @property
    def encoding(self) -> str:
        """The encoding of the database, such as UTF8."""
        return self._connection.encoding

    def run(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement, prepared at its first use where it takes parameters.

        Raises:
            Unavailable: The database cannot serve now, or (halt) refuses the statement.
        """
        try:
            return self.attempt(sql, **parameters)
        except Rejected as refusal:
            reason = f"PostgreSQL at {self._connection.label}: SQLSTATE {refusal.sqlstate}"
            raise Unavailable(reason, halt=True) from None

    def attempt(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement that carries payments or their keys, like `run`.

        Raises:
            Rejected: The database refuses one of them.
            Unavailable: The database cannot serve now.
        """
        self.broken = True
        with translate_errors(self._connection.label):
            try:
                if self.encoding not in _FAITHFUL:
                    self._reject_changed(parameters.values())
                rows = self._statement(sql).run(**parameters) if parameters else self._plain(sql)
            except (DatabaseError, UnicodeEncodeError):  # of the latter nothing was sent
                self.broken = False
                raise
        self.broken = False
        return rows or []

    def close(self) -> None:
        """Close the connection, politely where it still listens."""
        self._connection.close()

    def _plain(self, sql: str) -> list[Row] | None:
        rows: list[Row] | None = self._connection.run(sql)
        return rows

    def _reject_changed(self, parameters: Iterable[object]) -> None:
        """Refuse text that the database would keep as another: EUC_JP makes a U+FFE4 of U+00A6."""
        for text in parameters:
            if isinstance(text, str) and not text.isascii():
                ((kept,),) = self._statement("SELECT :text::text").run(text=text)
                if kept != text:
                    raise DatabaseError({"C": UNTRANSLATABLE})

    def _statement(self, sql: str) -> PreparedStatement:
        if sql not in self._prepared:
            self._prepared[sql] = self._connection.prepare(sql)
        return self._prepared[sql]
