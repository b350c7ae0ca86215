"""Payment ids: a ULID and the id of the node that generated it."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Self

from attrs import define, field, frozen
from ulid import ULID
from ulid.base32 import ENCODE

NODE_IDS = range(1000)
UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_PAIRS = [first + second for first in ENCODE for second in ENCODE]
"""Two characters of a ULID, in their order."""
_LAST_COUNT = len(_PAIRS) ** 2 - 1


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


def beginning(milliseconds: int) -> str:
    """The beginning of the ids of this time: they are above it, and those of earlier times below.

    Args:
        milliseconds: Since 1970; a time before that stands for 1970.
    """
    return str(ULID.from_timestamp(max(0, milliseconds)))[:10]


@define
class PaymentIdGenerator:
    """Generates ids that always increase, even if the clock steps back (G7).

    Each millisecond begins with a new ULID. The next ids of this millisecond count its last four
    characters up, which the ULID specification allows and which costs a tenth of a new ULID.

    Attributes:
        clock: Milliseconds since 1970. If it steps back, its highest value is used.
    """

    _clock: Callable[[], int]
    _milliseconds: int = field(default=-1, init=False)
    _created_at: datetime = field(default=UNIX_EPOCH, init=False)
    _beginning: str = field(default="", init=False)
    _count: int = field(default=0, init=False)

    def mint(self, node_id: int) -> PaymentId:
        """Return a new id of that node (0-999)."""
        now = self._clock()
        if now > self._milliseconds or self._count == _LAST_COUNT:
            self._begin(max(now, self._milliseconds + 1))
        else:
            self._count += 1
        high, low = divmod(self._count, len(_PAIRS))
        text = f"{self._beginning}{_PAIRS[high]}{_PAIRS[low]}-{node_id:03}"
        return PaymentId(text, self._created_at)

    def _begin(self, milliseconds: int) -> None:
        # ULID.from_timestamp would count on from the last ULID of this process, which may have
        # begun another generator: that one counts on too
        ulid = str(ULID.from_bytes(milliseconds.to_bytes(6, "big") + os.urandom(10)))
        self._milliseconds, self._created_at = milliseconds, _instant(milliseconds)
        self._beginning = ulid[:-4]
        self._count = _PAIRS.index(ulid[-4:-2]) * len(_PAIRS) + _PAIRS.index(ulid[-2:])


def _instant(milliseconds: int) -> datetime:
    return UNIX_EPOCH + timedelta(milliseconds=milliseconds)
