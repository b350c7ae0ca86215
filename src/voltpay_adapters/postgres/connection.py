"""One connection to PostgreSQL, with its settings, its time-outs and its prepared statements."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from functools import partial
from typing import Any

from attrs import define, field, frozen
from pg8000.exceptions import DatabaseError
from pg8000.native import PreparedStatement

from voltpay_adapters.postgres import passwords, session_settings
from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.failures import translated
from voltpay_adapters.postgres.poolers import refuse_shared
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Rejected, Unavailable

Row = list[Any]

_PROBE_SECONDS = 3.0


@frozen
class TimeOuts:
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
    _place: str
    broken: bool = field(default=False, init=False)
    _prepared: dict[str, PreparedStatement] = field(factory=dict, init=False)

    @classmethod
    def open(
        cls, target: DatabaseUrl, time_outs: TimeOuts, tls: ssl.SSLContext | None = None
    ) -> Session:
        """Connect, with settings of our own and with these time-outs.

        Raises:
            Misconfigured: It asks for a password, and there is none; or a pooler shares sessions.
            Unavailable: The database cannot be reached, or (halt) does not let us in.
        """
        connection = connect(target, time_outs.client, tls, time_outs.for_server())
        return cls(connection, target.place)

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
            reason = f"PostgreSQL at {self._place}: SQLSTATE {refusal.sqlstate}"
            raise Unavailable(reason, halt=True) from None

    def attempt(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement that carries payments or their keys, like `run`.

        Raises:
            Rejected: The database refuses one of them.
            Unavailable: The database cannot serve now.
        """
        self.broken = True
        with translated(self._place):
            try:
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

    def _statement(self, sql: str) -> PreparedStatement:
        if sql not in self._prepared:
            self._prepared[sql] = self._connection.prepare(sql)
        return self._prepared[sql]


def connect(
    target: DatabaseUrl,
    patience: float,
    tls: ssl.SSLContext | None,
    settings: Mapping[str, str] | None = None,
) -> PostgresConnection:
    """A connection whose session depends on no default, and whose later errors are pg8000's own.

    Args:
        patience: Seconds that an answer may take.
        settings: PostgreSQL's settings for this session, beside `session_settings`.

    Raises:
        Misconfigured: The database asks for a password, and there is none; or a pooler shares
            sessions.
        Unavailable: The database cannot be reached, or (halt) does not let us in.
    """
    with translated(target.place, refusable=False):
        connection = _log_in(target, patience, tls)
        try:
            connection.fix(settings or {})
            if connection.pooled:
                refuse_shared(
                    connection, partial(_log_in, target, _PROBE_SECONDS, tls), target.place
                )
                connection.run("DISCARD ALL")  # of whoever had this server connection before
                connection.fix(settings or {})
        except BaseException:
            connection.close()
            raise
    return connection


def _log_in(target: DatabaseUrl, patience: float, tls: ssl.SSLContext | None) -> PostgresConnection:
    link = _socket(target, patience)
    try:
        return PostgresConnection(
            target.place,
            target.user,
            host=target.host,
            database=target.database,
            password=None if target.password is None else passwords.encoded(target.password),
            sock=link,
            ssl_context=tls or False,
            application_name="voltpay",
            startup_params=session_settings.AT_START,
        )
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"PostgreSQL at {target.place} is not to be trusted: {error.verify_message};"
            " see database.sslrootcert, and the host's name",
            halt=True,
        ) from error
    except BaseException:
        link.close()
        raise


def _socket(target: DatabaseUrl, patience: float) -> socket.socket:
    """A socket without Nagle's delay: pg8000 sends a bulk statement in several pieces."""
    link = socket.create_connection((target.host, target.port), timeout=patience)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return link
