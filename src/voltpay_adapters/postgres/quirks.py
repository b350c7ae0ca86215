"""All uses of pg8000's internals, as versions 1.31.3 to 1.31.6 have them, and their reasons.

Numbers such as #100 are issues of github.com/tlocke/pg8000.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from pg8000.native import Connection


def backend_key_data(connection: Connection) -> bytes | None:
    """The BackendKeyData message of the server; None if it has not come, or a pooler sends none.

    pg8000 has no public name for the process id in this message. Upstream: none found.
    """
    found: bytes | None = connection._backend_key_data
    return found


def set_timeout(connection: Connection, seconds: float) -> None:
    """Wait at most this long for each answer from now on.

    pg8000 has one timeout for connecting and for answers, and with TLS it replaces the given
    socket. Upstream: none found.
    """
    connection._usock.settimeout(seconds)


@contextmanager
def closing_files(connection: Connection) -> Iterator[None]:
    """Close the socket and its file, which pg8000's `close`, called in the block, may leave open.

    After an error the file keeps the descriptor open. Upstream: #100 closed the socket of a failed
    login, but not the file.
    """
    opened = [getattr(connection, name, None) for name in ("_sock", "_usock")]
    with suppress(Exception):  # the connection is of no more use
        yield
    for each in filter(None, opened):
        with suppress(Exception):
            each.close()


class ScramLogin(Protocol):
    """The attributes of a connection during its login."""

    user: bytes
    password: bytes | None
    auth: Any


@contextmanager
def scram_password(login: ScramLogin, password: bytes) -> Iterator[None]:
    """Start SCRAM, in the block, with a password that is already prepared by SASLprep.

    scramp, pg8000's SCRAM client, rejects passwords that SASLprep prohibits; PostgreSQL and libpq
    use them unchanged. So scramp starts with a placeholder and gets the password afterwards; the
    server already knows the user. Upstream: none found.
    """
    user, own = login.user, login.password
    login.user = login.password = b"-"
    yield
    login.user, login.password = user, own
    login.auth.password = password
