"""Recognises a writer of another consumer group that writes into the same database."""

from __future__ import annotations

from attrs import evolve, frozen

from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.records import partition_names


@frozen
class FencingGuard:
    """Counts how often this process is fenced, and decides when it must wait or halt (G5).

    When a group moves partitions, it reports that to its members. If an epoch is bumped and the
    group reports nothing, a process outside of the group has bumped it. This may happen once when a
    stalled member comes back. Only another group does it repeatedly.

    Attributes:
        limit: The number of bumped epochs without a rebalance that halts the writer.
    """

    limit: int = 5
    _from_outside: int = 0
    _fenced_turns: int = 0

    def fenced(self, failure: Fenced) -> FencingGuard:
        """Count a turn of the consuming loop that ended with `Fenced`."""
        return evolve(
            self,
            from_outside=self._from_outside + (failure.code == "epoch-bumped"),
            fenced_turns=self._fenced_turns + 1,
        )

    def turn_finished(self) -> FencingGuard:
        """Count a turn that ended without `Fenced`."""
        return evolve(self, fenced_turns=0)

    def rebalanced(self) -> FencingGuard:
        """Forget the bumped epochs so far: a rebalance of the group explains them."""
        return evolve(self, from_outside=0)

    def check(self, failure: Fenced) -> None:
        """Return if the next take-over can follow at once.

        Raises:
            Unavailable: The last turn was fenced too, or an epoch was bumped twice without a
                rebalance, so the retry policy must wait; or (halt, ``another-writer``) another
                consumer group writes the same partitions.
        """
        if self._from_outside >= self.limit:
            taken = partition_names(failure.partitions)
            raise Unavailable(
                "another consumer group writes this topic into this database: it has taken over"
                f" partitions {self._from_outside} times ({taken}) without a rebalance of this"
                " group; use one group for all writers of a database, or one database for each"
                " group",
                halt=True,
                code="another-writer",
            ) from failure
        if max(self._from_outside, self._fenced_turns) > 1:
            raise Unavailable(str(failure), code="fenced") from failure
