"""Purges old claims in bounded chunks, each its own transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from voltpay_core.ports import BeginUnitOfWork


def purge(
    begin: BeginUnitOfWork, older_than: timedelta, *, chunk: int = 10_000, stop: Callable[[], bool]
) -> Iterator[int]:
    """Delete claims older than that; tell after each chunk how many it took.

    It can be stopped between chunks and run again at any time, also beside running writers.

    Args:
        chunk: Claims a transaction.
        stop: Asked between chunks.

    Raises:
        Unavailable: The database cannot be reached; what was deleted stays deleted.
    """
    deleted = chunk
    while deleted == chunk and not stop():
        with begin() as work:
            deleted = work.idempotency.purge(older_than, chunk)
        yield deleted


def expired(begin: BeginUnitOfWork, older_than: timedelta) -> int:
    """How many claims `purge` would delete.

    Raises:
        Unavailable: The database cannot be reached.
    """
    with begin() as work:
        return work.idempotency.expired(older_than)
