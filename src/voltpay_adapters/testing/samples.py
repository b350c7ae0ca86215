"""Sample payments with duplicates and all kinds of poison, the same for the same seed."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator
from decimal import Decimal
from random import Random
from uuid import UUID

from attrs import define, evolve, field, frozen

from voltpay_core.codec import Codec
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import ProducerRecord

_CURRENCIES = {"EUR": 2, "USD": 2, "GBP": 2, "SEK": 2, "PLN": 2, "JPY": 0, "KWD": 3, "BHD": 3}
_TYPES = ("BWI", "VSA", "MSC", "AMX", "PPL", "SEP")
_COMMENTS = (
    "Thank you!",
    "Rent for October, flat 3",
    "Grüße aus Köln",
    "Счёт № 42, спасибо",
    "ευχαριστώ πολύ",
    "家賃、10月分",
    "생일 축하해요",
    "شكرا جزيلا",
    "תודה רבה",
    "धन्यवाद",
    "🎂 for Zoë 👩‍👩‍👧",
    'He said "paid in full" \\o/',
)
_REMEMBERED = 1000


@frozen
class Mix:
    """The composition of the samples.

    Attributes:
        accounts: The number of accounts; a few of them make most payments.
        duplicates: The share (0-1) of records that repeat one of the last 1000 payments.
        poison: The share (0-1) of records that become dead letters.
    """

    accounts: int = 500
    duplicates: float = 0.0
    poison: float = 0.0


_GOOD = Mix()


def samples(codec: Codec, count: int, seed: int, mix: Mix = _GOOD) -> Iterator[ProducerRecord]:
    """Return `count` records for the input topic, the same for the same arguments."""
    random = Random(seed)  # noqa: S311 - repeatable, not secret
    payments = _Payments(random, codec, mix.accounts)
    remembered: deque[ProducerRecord] = deque(maxlen=_REMEMBERED)
    for _ in range(count):
        chance = random.random()
        if chance < mix.poison:
            yield poisoned(random.choice(list(POISON)), payments.draw(), codec)
        elif chance < mix.poison + mix.duplicates and remembered:
            yield random.choice(remembered)
        else:
            remembered.append(_record(payments.draw(), codec))
            yield remembered[-1]


def poisoned(kind: str, payment: NewPayment, codec: Codec) -> ProducerRecord:
    """The record of a payment, spoilt in one of the ways of `POISON`."""
    return POISON[kind](_record(payment, codec))


@define
class _Payments:
    _random: Random
    _codec: Codec
    _accounts: int
    _drawn: int = field(default=0, init=False)

    def draw(self) -> NewPayment:
        random = self._random
        self._drawn += 1
        currency, digits = random.choice(list(_CURRENCIES.items()))
        return NewPayment(
            message_id=str(UUID(int=random.getrandbits(128), version=4)),
            account_id=self._account(),
            amount=self._amount(digits),
            currency=currency,
            status=random.choices((Status.SUCCESS, Status.PENDING, Status.FAIL), (90, 7, 3))[0],
            type=random.choice(_TYPES),
            comment=random.choice(_COMMENTS) if random.random() < 0.4 else None,
            external_ref_id=f"INV-{self._drawn:06}" if random.random() < 0.3 else None,
        )

    def _account(self) -> int:
        number = min(int(self._accounts * self._random.random() ** 2), self._accounts - 1)
        return 1_000_000 + number * 7919  # far apart, like the ids of real accounts

    def _amount(self, digits: int) -> Decimal:
        units = max(1, round(self._random.lognormvariate(8, 1.5)))
        return Decimal(units).scaleb(-digits) if digits else Decimal(units)


def _record(payment: NewPayment, codec: Codec) -> ProducerRecord:
    return ProducerRecord(
        topic=codec.topics.writer,
        key=str(payment.account_id).encode(),
        value=codec.encode_payment(payment),
    )


def _stating(**changes: object) -> Callable[[ProducerRecord], ProducerRecord]:
    """Replace fields of the payment; None removes one."""

    def spoil(record: ProducerRecord) -> ProducerRecord:
        fields = json.loads(record.value or b"", parse_float=str) | changes
        kept = {name: value for name, value in fields.items() if value is not None}
        return evolve(record, value=json.dumps(kept).encode())

    return spoil


def _valued(value: bytes | None) -> Callable[[ProducerRecord], ProducerRecord]:
    return lambda record: evolve(record, value=value)


def _keyed(key: bytes | None) -> Callable[[ProducerRecord], ProducerRecord]:
    return lambda record: evolve(record, key=key)


def _cut(record: ProducerRecord) -> ProducerRecord:
    return evolve(record, value=(record.value or b"")[:-7])


def _latin_1(record: ProducerRecord) -> ProducerRecord:
    spoilt = _stating(comment="caf?")(record)
    return evolve(spoilt, value=(spoilt.value or b"").replace(b"caf?", b"caf\xe9"))


POISON: dict[str, Callable[[ProducerRecord], ProducerRecord]] = {
    "cut in the middle": _cut,
    "no JSON": _valued(b"payment of 12.50 EUR"),
    "a JSON list": _valued(b"[1, 2, 3]"),
    "nested too deep": _valued(b"[" * 5000 + b"]" * 5000),
    "bad UTF-8": _latin_1,
    "a tombstone": _valued(None),
    "empty": _valued(b""),
    "no key": _keyed(None),
    "another account's key": _keyed(b"7"),
    "a key that is no number": _keyed(b"\xff\x00account"),
    "a NUL": _stating(comment="a\x00b"),
    "a lone surrogate": _stating(comment="\ud800"),
    "no message id": _stating(messageId=None),
    "a reserved message id": _stating(messageId="dead:1"),
    "a message id that is a number": _stating(messageId=42),
    "a message id that is too long": _stating(messageId="m" * 256),
    "an account of text": _stating(accountId="seven"),
    "an account below zero": _stating(accountId=-1),
    "no amount": _stating(amount=None),
    "an amount of zero": _stating(amount=0),
    "an amount below zero": _stating(amount="-12.50"),
    "too many fraction digits": _stating(amount="1.2345678"),
    "too many integer digits": _stating(amount=123456789012345),
    "an amount that is no number": _stating(amount="NaN"),
    "a status of text": _stating(status="SUCCESS"),
    "an unknown status": _stating(status=1),
    "a currency in small letters": _stating(currency="eur"),
    "a type that is too long": _stating(type="VISA"),
    "a comment that is too long": _stating(comment="x" * 301),
    "a reference that is too long": _stating(externalRefId="x" * 201),
}
"""Ways to spoil a record; each makes a dead letter of any payment."""
