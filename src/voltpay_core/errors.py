"""The three kinds of failure, and bad configuration; any other exception is a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from voltpay_core.records import Partition


class Rejected(Exception):
    """The message's own fault: it becomes a dead letter and the batch goes on (G4).

    Args:
        code: The stable word that the dead letter carries, such as ``invalid-field``.
        reason: One sentence for a person, without any value of the message.
        sqlstate: The five characters of the database's refusal, if it was the database.
        constraint: The constraint that refused, if the database named one.
    """

    def __init__(
        self, code: str, reason: str, *, sqlstate: str | None = None, constraint: str | None = None
    ) -> None:
        super().__init__(f"{code}: {reason}")
        self.code = code
        self.reason = reason
        self.sqlstate = sqlstate
        self.constraint = constraint


class PaymentIdTaken(Rejected):
    """A payment of that id is stored already: a fresh id may be tried (G7)."""


class Unavailable(Exception):
    """The world's fault: nothing is acknowledged, and the take-over comes next (G5).

    Args:
        reason: One sentence that names the thing, the place and the way out.
        halt: True where trying again cannot help before somebody mends the world.
        code: A stable word for programs, such as ``another-writer``.
    """

    def __init__(self, reason: str, *, halt: bool = False, code: str = "unavailable") -> None:
        super().__init__(reason)
        self.halt = halt
        self.code = code


class Fenced(Exception):
    """These partitions are no longer ours: their records are dropped, the rest goes on.

    Args:
        reason: How that is known.
        code: ``not-assigned`` where the source has assigned them to somebody else, and
            ``epoch-bumped`` where another process has bumped their epochs in the database.
    """

    def __init__(
        self, partitions: Iterable[Partition], reason: str, *, code: str = "not-assigned"
    ) -> None:
        self.code = code
        self.partitions = frozenset(partitions)
        names = ", ".join(sorted(map(str, self.partitions))) or "some partitions"
        super().__init__(f"no longer the owner of {names}: {reason}")


class Misconfigured(Exception):
    """A setting that cannot work; the message names it and the way out."""
