"""Connects to the first of a database's hosts that can be written to."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from voltpay_adapters.postgres import passwords, session_settings
from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.error_mapping import translate_errors
from voltpay_adapters.postgres.poolers import reject_shared
from voltpay_adapters.postgres.urls import CONNECT_SECONDS, DatabaseUrl
from voltpay_core.errors import Unavailable

_Address = tuple[socket.AddressFamily, socket.SocketKind, int, str, Any]
"""One result of `socket.getaddrinfo`."""

_PROBE_SECONDS = 2.0


def connect(
    target: DatabaseUrl,
    socket_timeout: float,
    tls: ssl.SSLContext | None,
    settings: Mapping[str, str] | None = None,
) -> PostgresConnection:
    """A connection whose session depends on no default; it raises pg8000's own errors.

    All addresses of all hosts are tried in order. A host that rejects the login ends the search.

    Args:
        socket_timeout: Seconds that an answer may take.
        settings: Session settings, in addition to `session_settings`.

    Raises:
        Misconfigured: The server needs a password and none is set, or a pooler shares sessions.
        Unavailable: No host can be reached and written to, or (halt) one rejects the login.
    """
    attempts = (partial(_reach, target.at(host), tls, settings or {}) for host in target.hosts)
    connection = _first(attempts)
    connection.wait_for_answers(socket_timeout)
    return connection


def _first(attempts: Iterable[Callable[[], PostgresConnection]]) -> PostgresConnection:
    failures: list[Unavailable] = []
    for attempt in attempts:
        try:
            return attempt()
        except Unavailable as failure:
            if failure.halt:
                raise
            failures.append(failure)
    raise Unavailable("; ".join(dict.fromkeys(map(str, failures))), code="database") from failures[
        -1
    ]


def _reach(
    target: DatabaseUrl, tls: ssl.SSLContext | None, settings: Mapping[str, str]
) -> PostgresConnection:
    """A connection to the one host of this target."""
    (host,) = target.hosts
    with translate_errors(target.label, carries_payments=False):
        found = socket.getaddrinfo(host.name, host.port, type=socket.SOCK_STREAM)
    return _first(partial(_enter, target, address, tls, settings) for address in found)


def _enter(
    target: DatabaseUrl,
    address: _Address,
    tls: ssl.SSLContext | None,
    settings: Mapping[str, str],
) -> PostgresConnection:
    with translate_errors(target.label, carries_payments=False):
        connection = _log_in(target, address, CONNECT_SECONDS, tls)
        settings = {"application_name": target.session_name(), **settings}
        try:
            connection.fix(settings)
            if connection.pooled:
                another = partial(_log_in, target, address, _PROBE_SECONDS, tls)
                reject_shared(connection, another, target.label)
                connection.run("DISCARD ALL")  # state of a former user of this server connection
                connection.fix(settings)
            _reject_read_only(connection, target.session_attrs)
        except BaseException:
            connection.close()
            raise
    return connection


def _reject_read_only(connection: PostgresConnection, session_attrs: str) -> None:
    if session_attrs == "any":
        return
    if session_attrs == "read-write":
        # the server's default must apply: an administrator may fence a server by it
        connection.run("RESET default_transaction_read_only")
    if connection.run("SELECT pg_is_in_recovery()") != [[False]]:
        raise Unavailable(f"PostgreSQL at {connection.label} is a standby", code="database")
    if connection.run("SHOW transaction_read_only") != [["off"]]:
        raise Unavailable(
            f"PostgreSQL at {connection.label} is read-only: default_transaction_read_only is on",
            code="database",
        )


def _log_in(
    target: DatabaseUrl, address: _Address, seconds: float, tls: ssl.SSLContext | None
) -> PostgresConnection:
    (host,) = target.hosts
    link = _socket(address, seconds)
    try:
        return PostgresConnection(
            target,
            target.user,
            host=host.name.partition("%")[0],  # certificates name addresses without their zones
            database=target.database,
            password=None if target.password is None else passwords.encoded(target.password),
            sock=link,
            ssl_context=tls or False,
            application_name=target.session_name(),
            startup_params=session_settings.AT_START,
        )
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"PostgreSQL at {target.label} cannot be trusted: {error.verify_message}",
            halt=True,
            code="database-untrusted",
        ) from error
    except BaseException:
        link.close()
        raise


def _socket(address: _Address, seconds: float) -> socket.socket:
    """A socket without Nagle's delay: pg8000 sends a bulk statement in several pieces."""
    family, kind, protocol, _, sockaddr = address
    link = socket.socket(family, kind, protocol)
    try:
        link.settimeout(seconds)
        link.connect(sockaddr)
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        link.close()
        raise
    return link
