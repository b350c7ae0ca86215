"""Connection poolers between us and PostgreSQL: what they may do, and how they are recognised."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

from pg8000.native import Connection

from voltpay_core.errors import Misconfigured

_ROUNDS = 3


def is_pooled(announced: bytes | None, process: int) -> bool:
    """Whether the server process is not the one that was announced at the start of the session.

    Args:
        announced: The protocol's BackendKeyData, which begins with the process id.
        process: The id that PostgreSQL itself gives.
    """
    return announced is None or int.from_bytes(announced[:4], "big") != process


def reject_shared(connection: Connection, another: Callable[[], Connection], label: str) -> None:
    """Refuse a pooler that gives the server process of one session to others in between.

    A second session is opened beside the first, and both ask for their process in turn.

    Args:
        another: Opens a session to the same place, which gives up within seconds.

    Raises:
        Misconfigured: The pool mode is transaction or statement.
    """
    ours, theirs = {_process(connection)}, set()
    with closing(another()) as other:
        for _ in range(_ROUNDS):
            try:
                theirs.add(_process(other))
            except TimeoutError:  # every process of the pool belongs to a session
                break
            ours |= {_process(connection), _process(connection)}
        ours.add(_process(connection))
    if len(ours) > 1 or ours & theirs:
        raise Misconfigured(
            f"the connection pooler at {label} shares one server connection among sessions"
            " (pool mode transaction or statement), and node ids, prepared statements and"
            " settings need one each: connect to PostgreSQL itself, or set pool_mode = session"
        )


def _process(connection: Connection) -> int:
    ((process,),) = connection.run("SELECT pg_catalog.pg_backend_pid()")
    return int(process)
