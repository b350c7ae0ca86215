"""Payments and the rules that make them acceptable."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import IntEnum

from attrs import Attribute, field, frozen
from attrs.validators import and_, optional

from voltpay_core.errors import Rejected
from voltpay_core.ids import PaymentId

DEAD_LETTER_KEY_PREFIX = "dead:"
"""Claims with this prefix belong to dead letters; no message id may begin with it (G4)."""

MAX_ACCOUNT_ID = 2**63 - 1
MAX_INTEGER_DIGITS = 14
MAX_FRACTION_DIGITS = 6


class Status(IntEnum):
    """The status of a payment; the wire format and the database use the same numbers."""

    SUCCESS = 2
    PENDING = 0
    FAIL = -2


@frozen
class _Text:
    shortest: int
    longest: int

    def __call__(self, _: object, attribute: Attribute[str], value: str) -> None:
        if not self.shortest <= len(value) <= self.longest:
            raise _invalid(attribute.name, f"needs {self.shortest} to {self.longest} characters")
        if "\x00" in value:
            raise Rejected("bad-text", f"{_on_the_wire(attribute.name)} holds a NUL character")
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise Rejected("bad-text", f"{_on_the_wire(attribute.name)} holds a lone surrogate")


def _message_id(_: object, attribute: Attribute[str], value: str) -> None:
    if value.startswith(DEAD_LETTER_KEY_PREFIX):
        raise _invalid(attribute.name, f"must not begin with {DEAD_LETTER_KEY_PREFIX!r}")


def _account_id(_: object, attribute: Attribute[int], value: int) -> None:
    if not 0 <= value <= MAX_ACCOUNT_ID:
        raise _invalid(attribute.name, "needs an integer from 0 to 2^63-1")


def _amount(_: object, attribute: Attribute[Decimal], value: Decimal) -> None:
    if not (value.is_finite() and value > 0):
        raise _invalid(attribute.name, "needs a number above zero")
    if value.adjusted() >= MAX_INTEGER_DIGITS:
        raise _invalid(attribute.name, f"has more than {MAX_INTEGER_DIGITS} integer digits")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -MAX_FRACTION_DIGITS:
        raise _invalid(attribute.name, f"has more than {MAX_FRACTION_DIGITS} fraction digits")


def _currency(_: object, attribute: Attribute[str], value: str) -> None:
    if not (len(value) == 3 and value.isascii() and value.isalpha() and value.isupper()):
        raise _invalid(attribute.name, "needs 3 capital letters")


def _type(_: object, attribute: Attribute[str], value: str) -> None:
    if not (
        1 <= len(value) <= 3 and value.isascii() and value.isalnum() and value == value.upper()
    ):
        raise _invalid(attribute.name, "needs 1 to 3 capital letters or digits")


def _invalid(name: str, reason: str) -> Rejected:
    return Rejected("invalid-field", f"{_on_the_wire(name)} {reason}")


def _on_the_wire(name: str) -> str:
    """A field's name in the wire format: ``account_id`` is ``accountId``."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


@frozen
class NewPayment:
    """A payment as its producer sends it; every instance follows the rules.

    Attributes:
        message_id: The idempotency key (G1).
        account_id: The account, which is the unit of order (G3).
        amount: Exact; at most 14 integer and 6 fraction digits, never rounded.
        currency: ISO 4217.
        type: The payment type code, such as BWI, VSA or MSC.

    Raises:
        Rejected: A field breaks a rule (``invalid-field`` or ``bad-text``); the reason names the
            field and no value.
    """

    message_id: str = field(validator=and_(_Text(1, 255), _message_id))
    account_id: int = field(validator=_account_id)
    amount: Decimal = field(validator=_amount, repr=False)
    currency: str = field(validator=_currency, repr=False)
    status: Status = field(repr=False)
    type: str = field(validator=_type, repr=False)
    comment: str | None = field(default=None, validator=optional(_Text(1, 300)), repr=False)
    external_ref_id: str | None = field(default=None, validator=optional(_Text(1, 200)), repr=False)


@frozen
class Payment:
    """A payment as it is stored.

    Attributes:
        stated: What the producer sent.
        version: 1 for a new payment.
    """

    id: PaymentId
    stated: NewPayment
    version: int = 1

    @property
    def created_at(self) -> datetime:
        """The id's timestamp, in UTC, with milliseconds."""
        return self.id.created_at


@frozen
class StoredPayment:
    """A payment as the tables have it: without its message id, which they do not keep.

    Attributes:
        amount: The exact value; a store may drop zeros at the end of the fraction.
        updated_at: The time at which this version was written, in UTC.
    """

    id: PaymentId
    account_id: int
    amount: Decimal = field(repr=False)
    currency: str = field(repr=False)
    status: Status = field(repr=False)
    type: str = field(repr=False)
    comment: str | None = field(repr=False)
    external_ref_id: str | None = field(repr=False)
    updated_at: datetime
    version: int
