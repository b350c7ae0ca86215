"""Purges old claims in bounded chunks, each in its own transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from voltpay_core.errors import Misconfigured
from voltpay_core.ports import BeginUnitOfWork


@frozen
class ClaimRetention:
    """How long claims must be kept so that no message becomes two payments (G1).

    Attributes:
        input_topic: How long the input topic keeps a record at most: until then it can be read
            again. `timedelta.max` where it keeps records for ever.
        replays: How long after its first failure a dead letter can be replayed.
    """

    input_topic: timedelta
    replays: timedelta

    def check(self, older_than: timedelta) -> None:
        """Return where claims of that age are needed no longer.

        Raises:
            Misconfigured: The input topic (``claims-needed-by-input``) or replays
                (``claims-needed-by-replays``) may still bring messages of claims of that age.
        """
        if older_than < self.input_topic:
            raise Misconfigured(
                f"the input topic keeps records for {_in_hours(self.input_topic)}, and a"
                " message that comes again after its claim is deleted would be written twice",
                code="claims-needed-by-input",
            )
        if older_than < self.replays:
            raise Misconfigured(
                f"dead letters can be replayed for {_in_hours(self.replays)}, and a message that"
                " comes again after its claim is deleted would be written twice",
                code="claims-needed-by-replays",
            )


@frozen
class Purged:
    """The result of a purge.

    Attributes:
        deleted: The number of claims deleted.
        finished: False where it was stopped before all old claims were deleted.
    """

    deleted: int
    finished: bool


def purge(
    begin: BeginUnitOfWork,
    older_than: timedelta,
    retention: ClaimRetention | None,
    *,
    chunk: int = 10_000,
    stop: Callable[[], bool] = lambda: False,
    notify: Callable[[int], None] = lambda _: None,
) -> Purged:
    """Delete the claims that are older than that.

    It can be stopped between chunks and run again at any time, also beside running writers.

    Args:
        retention: How long claims are needed; None deletes them all the same.
        chunk: Claims a transaction, at most.
        stop: Called between chunks; true ends the purge.
        notify: Called after each chunk with the number deleted so far.

    Raises:
        Misconfigured: Claims of that age are still needed.
        Unavailable: The database cannot be reached; what was deleted stays deleted.
    """
    if retention is not None:
        retention.check(older_than)
    total, deleted = 0, chunk
    while deleted == chunk and not stop():
        with begin() as work:
            deleted = work.idempotency.purge(older_than, chunk)
        total += deleted
        notify(total)
    return Purged(total, finished=deleted < chunk)


def expired(begin: BeginUnitOfWork, older_than: timedelta) -> int:
    """Return how many claims `purge` would delete.

    Raises:
        Unavailable: The database cannot be reached.
    """
    with begin() as work:
        return work.idempotency.expired(older_than)


def _in_hours(time: timedelta) -> str:
    return "ever" if time == timedelta.max else f"up to {time.total_seconds() / 3600:g} hours"
