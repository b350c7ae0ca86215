"""Recognises a writer of another consumer group that writes into the same database."""

from __future__ import annotations

from attrs import evolve, frozen

from voltpay_core.errors import Fenced, Unavailable


@frozen
class FencingGuard:
    """Counts the fences of this process, and decides what they mean (G5).

    When a group moves partitions, it reports that to its members. If an epoch is bumped and the
    group reports nothing, a process outside of the group has bumped it. A stalled member that comes
    back does that once; only another group does it repeatedly.

    Attributes:
        limit: The number of fences without a rebalance in between that halt the writer.
    """

    limit: int = 5
    _from_outside: int = 0
    _fenced_turns: int = 0

    def fenced(self, fence: Fenced) -> FencingGuard:
        """Count a fence, which ended a turn of the consuming loop."""
        return evolve(
            self,
            from_outside=self._from_outside + (fence.code == "epoch-bumped"),
            fenced_turns=self._fenced_turns + 1,
        )

    def turn_finished(self) -> FencingGuard:
        """Count a turn without a fence."""
        return evolve(self, fenced_turns=0)

    def rebalanced(self) -> FencingGuard:
        """Forget the fences so far: a rebalance of the group explains them."""
        return evolve(self, from_outside=0)

    def check(self, fence: Fenced) -> None:
        """Return if the next take-over can follow at once.

        Raises:
            Unavailable: The last turn was fenced too, so the next attempt must wait; or (halt,
                ``another-writer``) another consumer group writes the same partitions.
        """
        if self._from_outside >= self.limit:
            names = ", ".join(sorted(map(str, fence.partitions))[:8])
            raise Unavailable(
                "another consumer group writes this topic into this database: it has taken over"
                f" partitions {self._from_outside} times ({names}) without a rebalance of this"
                " group; use one group for all writers of a database, or one database for each"
                " group",
                halt=True,
                code="another-writer",
            ) from fence
        if max(self._from_outside, self._fenced_turns) > 1:
            raise Unavailable(str(fence), code="fenced") from fence
