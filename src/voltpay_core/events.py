"""Typed events of the writer, for the services that consume them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import ClassVar, Self

import msgspec
from attrs import field, frozen

from voltpay_core.codec import EVENT_ID_HEADER
from voltpay_core.errors import Rejected
from voltpay_core.ids import PaymentId
from voltpay_core.payments import Status
from voltpay_core.records import Record


class _EmailJson(msgspec.Struct, rename="camel", kw_only=True):
    id: str
    message_id: str
    account_id: int | None = None
    cust_id: int | None = None
    amount: Decimal
    currency: str
    status: int
    type: str
    created_at: datetime


class _ReadJson(_EmailJson, rename="camel", kw_only=True):
    updated_at: datetime
    version: int
    comment: str | None = None
    external_ref_id: str | None = None


_Shape = type[_EmailJson]


@frozen(kw_only=True)
class PaymentEvent:
    """The fields of every event.

    Attributes:
        event_id: The same for each repeat of an event, so it can be used to deduplicate.
        id: The payment's id.
        message_id: The producer's idempotency key.
        amount: The exact amount, never rounded.
        created_at: The time at which the payment was written, in UTC.
    """

    event_id: str
    id: PaymentId
    message_id: str
    account_id: int
    amount: Decimal = field(repr=False)
    currency: str = field(repr=False)
    status: Status = field(repr=False)
    type: str = field(repr=False)
    created_at: datetime

    _json: ClassVar[_Shape]

    @classmethod
    def decode(cls, record: Record) -> Self:
        """Decode a record of the event's topic; unknown fields are ignored.

        Raises:
            Rejected: The record is not such an event; the reason names the field, never a value.
        """
        event_id = (record.header(EVENT_ID_HEADER) or b"").decode("ascii", "replace")
        if not event_id:
            raise Rejected("invalid-field", f"the header {EVENT_ID_HEADER} is missing")
        try:
            json = msgspec.json.decode(record.value or b"", type=cls._json)
            fields = msgspec.structs.asdict(json)
            fields["id"] = PaymentId.parse(fields["id"])
            fields["status"] = Status(fields["status"])
        except (ValueError, RecursionError) as error:
            raise _no_event(error) from None
        account_id, cust_id = fields.pop("account_id"), fields.pop("cust_id")
        fields["account_id"] = cust_id if account_id is None else account_id
        if fields["account_id"] is None:
            raise Rejected("invalid-field", "accountId is missing")
        return cls(event_id=event_id, **fields)


@frozen(kw_only=True)
class EmailEvent(PaymentEvent):
    """An event of the e-mail topic: the customer gets an e-mail about this payment."""

    _json = _EmailJson


@frozen(kw_only=True)
class ReadEvent(PaymentEvent):
    """An event of the read topic: a written payment.

    Attributes:
        updated_at: The time at which this version was written, in UTC.
        version: 1 for a new payment.
    """

    updated_at: datetime
    version: int
    comment: str | None = field(default=None, repr=False)
    external_ref_id: str | None = field(default=None, repr=False)

    _json = _ReadJson


def _no_event(error: Exception) -> Rejected:
    if isinstance(error, msgspec.ValidationError):
        return Rejected("invalid-field", str(error))  # it names types and fields, never values
    if isinstance(error, msgspec.DecodeError):
        return Rejected("bad-json", "the value is not a JSON object")
    return Rejected("invalid-field", "id or status has another form")
