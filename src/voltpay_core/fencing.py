"""Recognises a writer outside of the consumer group that writes into the same database."""

from __future__ import annotations

from attrs import evolve, frozen

from voltpay_core.errors import Fenced, Unavailable


@frozen
class FencingGuard:
    """Counts how often this process is fenced, and decides what that means (G5).

    A group that moves partitions reports it to its members. Where an epoch is raised and the group
    reports nothing, a process outside of the group has raised it. A stalled member that comes back
    does so once; only another group does so again and again.

    Attributes:
        limit: This many fences without a rebalance in between halt the writer.
    """

    limit: int = 5
    _from_outside: int = 0
    _unfinished_turns: int = 0

    def fenced(self, fence: Fenced) -> FencingGuard:
        """Count one more fence, which ended a turn of the consuming loop."""
        return evolve(
            self,
            from_outside=self._from_outside + (fence.code == "epoch-bumped"),
            unfinished_turns=self._unfinished_turns + 1,
        )

    def turn_finished(self) -> FencingGuard:
        """Note a turn without a fence."""
        return evolve(self, unfinished_turns=0)

    def rebalanced(self) -> FencingGuard:
        """Note that the group has moved partitions, which explains the fences so far."""
        return evolve(self, from_outside=0)

    def check(self, fence: Fenced) -> None:
        """Return where the next take-over can follow at once.

        Raises:
            Unavailable: The last turn was fenced too, so the next attempt has to wait; or (halt,
                ``another-writer``) somebody outside of the group writes the same partitions.
        """
        if self._from_outside >= self.limit:
            names = ", ".join(sorted(map(str, fence.partitions))[:8])
            raise Unavailable(
                "another consumer group writes this topic into this database: it has taken over"
                f" partitions {self._from_outside} times ({names}) that our group had not moved;"
                " let all writers of a database use one group, or give each group a database",
                halt=True,
                code="another-writer",
            ) from fence
        if max(self._from_outside, self._unfinished_turns) > 1:
            raise Unavailable(str(fence), code="fenced") from fence
