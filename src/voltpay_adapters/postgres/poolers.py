"""Recognises connection poolers in front of PostgreSQL, and rejects those that share sessions."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from pg8000.native import Connection

from voltpay_core.errors import Misconfigured

_ROUNDS = 3


def is_pooled(announced: bytes | None, process: int) -> bool:
    """Whether the server process is not the one that was announced at the start of the session.

    Args:
        announced: The protocol's BackendKeyData, which begins with a process id.
        process: The process id that a query returns.
    """
    return announced is None or int.from_bytes(announced[:4], "big") != process


def reject_shared(connection: Connection, another: Callable[[], Connection], label: str) -> None:
    """Reject a pooler that shares the server process of one session with other sessions.

    A second session is opened beside the first, and both query their process in turn.

    Args:
        another: Opens a session to the same address, which times out within seconds.

    Raises:
        Misconfigured: The pool mode is transaction or statement.
    """
    own, foreign = {_process(connection)}, set()
    with closing(another()) as other:
        for _ in range(_ROUNDS):
            try:
                foreign.add(_process(other))
            except TimeoutError:  # every process of the pool belongs to a session
                break
            own |= {_process(connection), _process(connection)}
        own.add(_process(connection))
    if len(own) > 1 or own & foreign:
        raise Misconfigured(
            f"the connection pooler at {label} shares one server connection among sessions"
            " (pool mode transaction or statement), but node ids, prepared statements and settings"
            " need a server connection each: connect to PostgreSQL itself, or set"
            " pool_mode = session"
        )


def _process(connection: Connection) -> int:
    ((process,),) = connection.run("SELECT pg_catalog.pg_backend_pid()")
    return int(process)
