"""What may come down the topic of the simulation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal

from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Headers, Partition, Record

PARTITIONS = [Partition("payment_writer_topic", number) for number in range(3)]
REFUSED = 13
REFUSED_KEY = b"13"
REJECTED = "refused-by-database"
"""The code of the dead letters of the account whose payments the database refuses."""
CODEC = Codec(max_value_bytes=300)


def partition_of(key: bytes | None) -> Partition:
    """Where a producer puts a record with that key."""
    return PARTITIONS[int(key or b"0") % len(PARTITIONS)]


def _payment(account: int, message: str, status: Status = Status.SUCCESS) -> Record:
    payment = NewPayment(message, account, Decimal("1.50"), "EUR", status, "VSA")
    return _record(str(account).encode(), CODEC.encode_payment(payment))


def _record(key: bytes | None, value: bytes | None, headers: Headers = ()) -> Record:
    return Record(partition_of(key), 0, 0, key, value, headers)


_OWN = [_payment(account, f"{account}-{number}") for number in range(3) for account in (1, 2, 3, 4)]
_SHARED = [_payment(account, f"shared-{name}") for account in (1, 2, 3) for name in "ab"]
_REFUSED = [_payment(REFUSED, name) for name in ("refused", "13-0", "shared-a")]
_POISON = [
    _record(b"1", b"poison"),
    _record(
        b"2", b"poison", (("__connect.errors.topic", b"earlier"), ("voltpay-dlq-attempt", b"99"))
    ),
    _record(b"2", b" " * 301),
    _record(None, None),
]
_PENDING = _payment(2, "2-3", Status.PENDING)
WARM_UP = b"{}"

WITHOUT_LETTERS: Sequence[Sequence[Record | Partition]] = (
    (*_OWN, *_SHARED),
    _SHARED,
    (*_OWN[::4], _OWN[3], PARTITIONS[1]),
)
POOLS: Sequence[Sequence[Record | Partition]] = (
    (*_OWN, *_SHARED, *_REFUSED, *_POISON, _PENDING, _record(None, WARM_UP), *PARTITIONS),
    (*_OWN[:4], *_REFUSED, *_POISON),
    *WITHOUT_LETTERS,
)
"""A history takes its records from one of these; a partition is an offset without a record."""

MESSAGES = {
    record.value: json.loads(record.value or b"")["messageId"]
    for record in (*_OWN, *_SHARED, *_REFUSED, _PENDING)
}
"""The message ids of the payments, by the values of their records."""

MANY_PLACES = frozenset({"shared-a", "shared-b", "13-0", "refused"})
"""Message ids that may be in several partitions, or may be refused in one of them."""
