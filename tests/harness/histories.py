"""A small history by hand: good payments, duplicates, poison, and one that is rejected."""

from decimal import Decimal

from tests.harness.strategies import REFUSED, TOPIC

from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Partition, Record


def good(account_id: int, message_id: str, status: Status = Status.SUCCESS) -> Record:
    payment = NewPayment(message_id, account_id, Decimal("1.50"), "EUR", status, "VSA")
    return record(account_id, str(account_id).encode(), Codec().encode_payment(payment))


def record(account_id: int, key: bytes | None, value: bytes | None) -> Record:
    return Record(Partition(TOPIC, account_id % 2), 0, 0, key, value)


HISTORY = (
    good(1, "a"),
    good(2, "b"),
    good(1, "c", Status.PENDING),
    good(1, "a"),
    record(0, b"?", b"poison"),
    good(REFUSED, "d"),
    good(2, "e"),
    record(1, None, b"{}"),
    good(1, "f"),
    good(2, "b"),
    good(3, "a"),
)
