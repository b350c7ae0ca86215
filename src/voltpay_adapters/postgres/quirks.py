"""All uses of pg8000's internals, as versions 1.31.3 to 1.31.6 have them, and their reasons.

Numbers such as #100 are issues of github.com/tlocke/pg8000.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from pg8000.native import Connection


def backend_key_data(connection: Connection) -> bytes | None:
    """The BackendKeyData message of the server; None before it, or from a pooler without one.

    There is no public name for the process id that the server announces. Upstream: none found.
    """
    found: bytes | None = connection._backend_key_data
    return found


def set_timeout(connection: Connection, seconds: float) -> None:
    """Wait at most this long for each answer from now on.

    pg8000 takes one timeout for connecting and for answers, and with TLS it replaces the socket
    that it was given. Upstream: none found.
    """
    connection._usock.settimeout(seconds)


@contextmanager
def closing_files(connection: Connection) -> Iterator[None]:
    """Close what pg8000's `close`, called in the block, leaves open after an error.

    The file that it makes of its socket keeps the descriptor. Upstream: #100 closed the socket of a
    login that failed, and not the file.
    """
    opened = [getattr(connection, name, None) for name in ("_sock", "_usock")]
    with suppress(Exception):  # the connection is gone either way
        yield
    for each in filter(None, opened):
        with suppress(Exception):
            each.close()


class ScramLogin(Protocol):
    """What a connection has while it logs in."""

    user: bytes
    password: bytes | None
    auth: Any


@contextmanager
def scram_password(login: ScramLogin, password: bytes) -> Iterator[None]:
    """Start SCRAM, in the block, with a password that has been through SASLprep already.

    scramp, pg8000's SCRAM client, rejects passwords that SASLprep prohibits, where PostgreSQL and
    libpq use them as they are. It needs no password yet, and the server knows the user already.
    Upstream: none found.
    """
    user, own = login.user, login.password
    login.user = login.password = b"-"
    yield
    login.user, login.password = user, own
    login.auth.password = password
