"""Payments and passwords that nothing but their own places may ever show."""

from decimal import Decimal

from attrs import evolve

from voltpay_adapters.testing.samples import POISON, poisoned
from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import ProducerRecord

PASSWORD = "canary-password"
PAYMENT = NewPayment(
    message_id="canary-id",
    account_id=471147114711,
    amount=Decimal("47.114711"),
    currency="EUR",
    status=Status.SUCCESS,
    type="VSA",
    comment="canary-comment",
    external_ref_id="canary-reference",
)
_SONGS = ("canary", "4711", "47.11")


def leaks(text: str) -> list[str]:
    """What a text tells of payments or passwords."""
    return [song for song in _SONGS if song in text]


def records(codec: Codec) -> list[ProducerRecord]:
    """A payment, poison of every kind made from others like it, and bytes that are nothing."""
    good = ProducerRecord(codec.topics.writer, b"471147114711", codec.encode_payment(PAYMENT))
    spoilt = [
        poisoned(kind, evolve(PAYMENT, message_id=f"canary-{number}"), codec)
        for number, kind in enumerate(POISON)
    ]
    return [good, *spoilt, evolve(good, value=b"canary"), evolve(good, key=b"canary")]


def told_by_letters(letters: list[ProducerRecord]) -> str:
    """What dead letters say about themselves: the records that they are had no headers."""
    return " ".join(f"{name}={text!r}" for letter in letters for name, text in letter.headers)
