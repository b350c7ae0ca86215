"""Short-lived connections for the care of the database, apart from the writing of payments."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import closing, contextmanager

from pg8000.exceptions import DatabaseError, InterfaceError
from pg8000.native import Connection

from voltpay_adapters.postgres.connection import connect
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Unavailable

_PATIENCE = 600  # seconds for one answer: maintenance may read a whole month


@contextmanager
def session(target: DatabaseUrl, tls: ssl.SSLContext | None = None) -> Iterator[Connection]:
    """A connection of its own, in UTC, where every statement commits by itself.

    Args:
        target: The database, and the user to reach it by.
        tls: How to encrypt and whom to trust; None does without.

    Raises:
        Unavailable: The database cannot be reached, or refuses a statement.
    """
    try:
        with closing(connect(target, _PATIENCE, tls)) as connection:
            yield connection
    except DatabaseError as error:
        refusal: dict[str, str] = error.args[0]
        reason = f"PostgreSQL at {target.place} refused: {refusal.get('M')} ({refusal.get('C')})"
        raise Unavailable(reason, halt=True) from error
    except (InterfaceError, OSError) as error:
        raise Unavailable(f"PostgreSQL at {target.place} cannot be reached: {error}") from error
