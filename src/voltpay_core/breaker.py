"""Stops the writer when the database rejects too many messages for the same reason."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import evolve, frozen

from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.outcomes import DeadLettered, Outcome, Written


@frozen
class Breaker:
    """Stops the writer after `limit` rejections with the same SQLSTATE and constraint (G5).

    Then the database is at fault, not the messages. The counter is reset once `limit` payments have
    been written since the last rejection. A rejection of another kind starts it again.

    Attributes:
        limit: The number of rejections that stops the writer.
        rejections: The number of rejections so far; 0 after a reset.
    """

    limit: int = 20
    _kind: tuple[str | None, str | None] = (None, None)
    rejections: int = 0
    _written: int = 0

    def after(self, outcomes: Iterable[Outcome]) -> Breaker:
        """Return the breaker after these outcomes of a commit unit, in their order.

        Raises:
            Unavailable: (halt, ``breaker``) The limit is reached; the unit must not be committed.
        """
        breaker = self
        for outcome in outcomes:
            if isinstance(outcome, Written):
                breaker = breaker._after_payment()
            elif isinstance(outcome, DeadLettered):
                breaker = breaker._after_rejection(outcome.reason)
        return breaker

    def _after_payment(self) -> Breaker:
        if not self.rejections or self._written + 1 >= self.limit:
            return Breaker(self.limit)
        return evolve(self, written=self._written + 1)

    def _after_rejection(self, rejection: Rejected) -> Breaker:
        kind = (rejection.sqlstate, rejection.constraint)
        count = self.rejections + 1 if kind == self._kind else 1
        if count >= self.limit:
            raise Unavailable(
                f"the database rejected {count} messages in a row with SQLSTATE {kind[0]}"
                f" (constraint {kind[1]}): the database is at fault, not the messages",
                halt=True,
                code="breaker",
            )
        return Breaker(self.limit, kind, count)
