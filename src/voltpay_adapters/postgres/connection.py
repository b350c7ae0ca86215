"""One connection to PostgreSQL, with its time-outs and its prepared statements."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any

from attrs import define, field, frozen
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection, PreparedStatement

from voltpay_adapters.postgres.failures import translated
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured, Unavailable

Row = list[Any]


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

    _connection: Connection
    _place: str
    broken: bool = field(default=False, init=False)
    _prepared: dict[str, PreparedStatement] = field(factory=dict, init=False)

    @classmethod
    def open(
        cls, target: DatabaseUrl, time_outs: TimeOuts, tls: ssl.SSLContext | None = None
    ) -> Session:
        """Connect, in UTC and with these time-outs.

        Raises:
            Misconfigured: It asks for a password, and there is none.
            Unavailable: The database cannot be reached, or (halt) does not let us in.
        """
        with translated(target.place):
            connection = connect(target, time_outs.client, tls, time_outs.for_server())
        return cls(connection, target.place)

    def run(self, sql: str, **parameters: str | float | list[int]) -> list[Row]:
        """Run one statement, prepared at its first use where it takes parameters.

        Raises:
            Rejected: The database refuses a payment.
            Unavailable: The database cannot serve now.
        """
        self.broken = True
        with translated(self._place):
            try:
                rows = self._statement(sql).run(**parameters) if parameters else self._plain(sql)
            except DatabaseError:
                self.broken = False
                raise
        self.broken = False
        return rows or []

    def close(self) -> None:
        """Close the connection, politely where it still listens."""
        try:
            self._connection.close()
        except Exception:  # noqa: BLE001 - it is gone either way
            self.broken = True

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
) -> Connection:
    """A connection in UTC, whose errors are pg8000's own.

    Args:
        patience: Seconds that an answer may take.
        settings: PostgreSQL's settings for this session.

    Raises:
        Misconfigured: The database asks for a password, and there is none.
        Unavailable: (halt) Its certificate is not trusted, or is another host's.
    """
    link = _socket(target, patience)
    try:
        return Connection(
            target.user,
            host=target.host,
            database=target.database,
            password=target.password,
            sock=link,
            ssl_context=tls or False,
            application_name="voltpay",
            startup_params={"TimeZone": "UTC", **(settings or {})},
        )
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"PostgreSQL at {target.place} is not to be trusted: {error.verify_message};"
            " see database.sslrootcert, and the host's name",
            halt=True,
        ) from error
    except BaseException as error:
        link.close()
        if target.password is None and isinstance(error, AttributeError):  # pg8000 stumbles over it
            raise Misconfigured(f"PostgreSQL at {target.place} asks for a password") from error
        raise


def _socket(target: DatabaseUrl, patience: float) -> socket.socket:
    """A socket without Nagle's delay: pg8000 sends a bulk statement in several pieces."""
    link = socket.create_connection((target.host, target.port), timeout=patience)
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    return link
