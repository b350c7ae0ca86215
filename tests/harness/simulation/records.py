"""What may come down the topic of the simulation."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Headers, Partition, Record

PARTITIONS = [Partition("payment_writer_topic", number) for number in range(3)]
REFUSED = 13
CODEC = Codec(max_value_bytes=300)


def _payment(account: int, message: str, status: Status = Status.SUCCESS) -> Record:
    payment = NewPayment(message, account, Decimal("1.50"), "EUR", status, "VSA")
    return _record(account, str(account).encode(), CODEC.encode_payment(payment))


def _record(account: int, key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
    return Record(PARTITIONS[account % len(PARTITIONS)], 0, 0, key, value, headers)


_OWN = [_payment(account, f"{account}-{number}") for number in range(3) for account in (1, 2, 3, 4)]
_SHARED = [_payment(account, f"shared-{name}") for account in (1, 2, 3) for name in "ab"]
_REFUSED = [_payment(REFUSED, name) for name in ("refused", "13-0", "shared-a")]
_POISON = [
    _record(1, b"1", b"poison"),
    _record(
        2, b"2", b"poison", (("__connect.errors.topic", b"earlier"), ("voltpay-dlq-attempt", b"2"))
    ),
    _record(2, b"2", b" " * 301),
    _record(3, None, None),
]
_PENDING = _payment(2, "2-3", Status.PENDING)
_WARM_UP = _record(1, None, b"{}")

POOLS: Sequence[Sequence[Record | Partition]] = (
    (*_OWN, *_SHARED, *_REFUSED, *_POISON, _PENDING, _WARM_UP, *PARTITIONS),
    (*_OWN, *_SHARED),
    _SHARED,
    (*_OWN[:4], *_REFUSED, *_POISON),
    (*_OWN[::4], _OWN[3], PARTITIONS[1]),
)
"""A history takes its records from one of these; a partition is an offset without a record."""

MANY_PLACES = frozenset({"shared-a", "shared-b", "13-0", "refused"})
"""Message ids that may be in several partitions, or may be refused in one of them."""
