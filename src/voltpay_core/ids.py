"""Payment ids: a ULID and the id of the node that generated it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from attrs import frozen
from ulid import ULID, ULIDGenerator

NODE_IDS = range(1000)
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@frozen(order=True)
class PaymentId:
    """``ULID-NNN``: sortable by time, unique across nodes (G7).

    Attributes:
        text: The id as 30 characters.
        created_at: The ULID's timestamp, which also selects the table partition.
    """

    text: str
    created_at: datetime

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse an id.

        Raises:
            ValueError: The text does not have the form ``ULID-NNN``.
        """
        ulid, dash, node = text.partition("-")
        if not (dash and len(node) == 3 and node.isascii() and node.isdigit()):
            raise ValueError("a payment id has the form ULID-NNN")
        try:
            return cls(text, _instant(ULID.from_str(ulid).milliseconds))
        except OverflowError:
            raise ValueError("a payment id has its time before the year 10000") from None

    def __str__(self) -> str:
        return self.text


class PaymentIdGenerator:
    """Generates ids that always increase, even if the clock steps back (G7).

    Args:
        clock: Milliseconds since 1970. If it steps back, its highest value is used.
    """

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._highest = 0
        self._ulids = ULIDGenerator(clock=self._clamped)

    def mint(self, node_id: int) -> PaymentId:
        """Return a new id of that node (0-999)."""
        ulid = self._ulids.generate()
        return PaymentId(f"{ulid}-{node_id:03}", _instant(ulid.milliseconds))

    def _clamped(self) -> int:
        self._highest = max(self._highest, self._clock())
        return self._highest


def _instant(milliseconds: int) -> datetime:
    return UNIX_EPOCH + timedelta(milliseconds=milliseconds)
