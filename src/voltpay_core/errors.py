"""The kinds of failure: the message, the infrastructure, a lost partition, a wrong setting."""

from __future__ import annotations

from collections.abc import Iterable

from voltpay_core.records import Partition, partition_names

DEAD_LETTER_CODES = (
    "bad-json",
    "bad-text",
    "invalid-field",
    "key-mismatch",
    "key-missing",
    "no-value",
    "refused-by-database",
    "too-large",
)
"""The codes of `Rejected` in this project; another adapter may add codes."""


class Rejected(Exception):
    """The message is at fault: it becomes a dead letter and the batch goes on (G4).

    Args:
        code: A stable word, such as ``invalid-field``; a header of the dead letter has it.
        reason: One sentence for a person, without any value of the message.
        sqlstate: The SQLSTATE, if the database rejected the message.
        constraint: The violated constraint, if the database named one.
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
    """A payment with this id exists already: the writer tries a new id once (G7)."""


class Unavailable(Exception):
    """The infrastructure failed: a take-over follows before the next batch.

    Args:
        reason: One sentence that says what failed, where, and what helps.
        halt: True if only a person can help, so that a retry is useless (G5).
        code: A stable word for programs, such as ``no-partition``.
    """

    def __init__(self, reason: str, *, halt: bool = False, code: str = "unavailable") -> None:
        super().__init__(reason)
        self.halt = halt
        self.code = code


class Fenced(Exception):
    """Partitions have another owner now; a take-over follows before the next batch.

    Args:
        reason: How this process learned of it.
        code: ``not-assigned`` if the source has assigned the partitions to another member,
            ``epoch-bumped`` if another process has bumped their epochs in the database.
    """

    def __init__(
        self, partitions: Iterable[Partition], reason: str, *, code: str = "not-assigned"
    ) -> None:
        self.code = code
        self.partitions = frozenset(partitions)
        owned = partition_names(self.partitions) or "some partitions"
        super().__init__(f"no longer the owner of {owned}: {reason}")


class Misconfigured(Exception):
    """A setting is missing or cannot work.

    Args:
        reason: One sentence that says what is wrong, where, and what helps.
        code: A stable word for programs, such as ``node-id-taken``.
    """

    def __init__(self, reason: str, *, code: str = "misconfigured") -> None:
        super().__init__(reason)
        self.code = code
