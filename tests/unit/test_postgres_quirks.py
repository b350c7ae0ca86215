"""The internals of pg8000 that the adapters use are there, on a connection without a server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from pg8000.native import Connection, InterfaceError
from tests.unit.test_postgres_replies import READY, message

from voltpay_adapters.postgres import quirks
from voltpay_adapters.postgres.driver import PostgresConnection
from voltpay_adapters.postgres.urls import DatabaseUrl

KEY = (7).to_bytes(4, "big") + b"key!"
PROHIBITED = "\u0007".encode()
TARGET = DatabaseUrl.parse("postgresql://writer@localhost/voltpay")


@pytest.fixture
def connection() -> Iterator[PostgresConnection]:
    """A connection whose server has let it in, and says nothing more."""
    client, server = socket.socketpair()
    with closing(server), closing(client):
        server.sendall(message(b"R", bytes(4)) + message(b"K", KEY) + READY)
        opened = PostgresConnection(TARGET, "writer", sock=client, ssl_context=False)
        yield opened
        with quirks.closing_files(opened):
            opened.close()


def test_backend_key_data_is_what_the_server_announced(connection: PostgresConnection) -> None:
    """The message that begins with the id of the server process can be read."""
    assert quirks.backend_key_data(connection) == KEY


def test_the_timeout_holds_for_answers(connection: PostgresConnection) -> None:
    """A statement that is not answered ends when the timeout is over."""
    quirks.set_timeout(connection, 0.01)
    with pytest.raises((InterfaceError, TimeoutError)):  # 1.31.3 translates the latter
        connection.run("SELECT 1")


def test_nothing_stays_open_after_an_error(connection: PostgresConnection) -> None:
    """Where closing fails, the socket and its file are closed all the same."""
    link, file = connection._usock, connection._sock

    def fail() -> None:
        raise InterfaceError

    with quirks.closing_files(connection):
        fail()
    assert file.closed
    assert link.fileno() == -1


def test_scram_takes_a_password_that_saslprep_prohibits(connection: PostgresConnection) -> None:
    """The password reaches the SCRAM client as it is, and the login keeps user and password."""
    connection.password = PROHIBITED
    offer = (10).to_bytes(4, "big") + b"SCRAM-SHA-256\0\0"
    with quirks.scram_password(connection, PROHIBITED):
        Connection.handle_AUTHENTICATION_REQUEST(connection, offer, None)
    assert (connection.user, connection.password) == (b"writer", PROHIBITED)
    connection.auth.set_server_first(
        f"r={connection.auth.c_nonce}server,s=MTIzNDU2Nzg5MDEyMzQ1Ng==,i=4096"
    )
    assert connection.auth.get_client_final().startswith("c=")
