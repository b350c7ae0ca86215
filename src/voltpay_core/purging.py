"""Purges old claims in bounded chunks, each in its own transaction."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

from attrs import frozen

from voltpay_core.errors import Misconfigured
from voltpay_core.ports import BeginUnitOfWork

CHUNK = 10_000
"""The default for the number of claims in a transaction, at most."""


@frozen
class ClaimRetention:
    """How long claims must be kept so that no message becomes two payments (G1).

    Attributes:
        input_topic: The longest time that the input topic keeps a record; until then it can be
            read again. `timedelta.max` means for ever.
        replays: The time after its first failure in which a dead letter can be replayed.
    """

    input_topic: timedelta
    replays: timedelta

    def check(self, older_than: timedelta) -> None:
        """Return if claims older than `older_than` are no longer needed.

        Raises:
            Misconfigured: The message of such a claim may still come again, from the input topic
                (``claims-needed-by-input``) or by a replay (``claims-needed-by-replays``).
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
        finished: False if the purge was stopped before all old claims were deleted.
    """

    deleted: int
    finished: bool


def purge(
    begin: BeginUnitOfWork,
    older_than: timedelta,
    retention: ClaimRetention | None,
    *,
    chunk: int = CHUNK,
    stop: Callable[[], bool] = lambda: False,
    notify: Callable[[int], None] = lambda _: None,
) -> Purged:
    """Delete the claims that are older than `older_than`.

    It can be stopped between chunks and run again at any time, also while writers run.

    Args:
        retention: How long claims are needed; None skips this check.
        chunk: Claims in a transaction, at most.
        stop: Called between transactions; true ends the purge.
        notify: Called after each transaction that deletes claims, with the number deleted so far.

    Raises:
        Misconfigured: Claims of that age are still needed.
        Unavailable: The database cannot be reached; earlier chunks stay deleted.
    """
    if retention is not None:
        retention.check(older_than)
    total = 0
    rest: int | None = 0
    while rest is not None and not stop():
        with begin() as work:
            step = work.idempotency.purge(older_than, chunk, rest)
        rest = step.rest
        total += step.deleted
        if step.deleted:
            notify(total)
    return Purged(total, finished=rest is None)


def expired(begin: BeginUnitOfWork, older_than: timedelta) -> int:
    """Return the number of claims that `purge` would delete.

    Raises:
        Unavailable: The database cannot be reached.
    """
    with begin() as work:
        return work.idempotency.expired(older_than)


def _in_hours(time: timedelta) -> str:
    return "ever" if time == timedelta.max else f"up to {time.total_seconds() / 3600:g} hours"
