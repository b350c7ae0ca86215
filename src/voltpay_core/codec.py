"""The wire format: decodes payments, encodes events and dead letters, packs outbox rows."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

import msgspec
from attrs import field, frozen

from voltpay_core.errors import Rejected
from voltpay_core.outcomes import DeadLettered, DecodedPayment, WarmedUp, Written
from voltpay_core.payments import MAX_ACCOUNT_ID, NewPayment, Status, StoredPayment
from voltpay_core.records import Headers, ProducerRecord, Record, last_header

WARM_UP_HEADER = "voltpay-warmup"
EVENT_ID_HEADER = "event-id"
PASSED_ON_HEADERS = ("traceparent", "correlation-id")
MAX_PASSED_ON_BYTES = 512
REBUILT_PREFIX = "rebuilt:"
"""The message id of a rebuilt event begins with this."""

CONNECT_ERRORS_PREFIX = "__connect.errors."
DLQ_HEADER_PREFIX = "voltpay-dlq-"
CODE_HEADER = DLQ_HEADER_PREFIX + "code"
SQLSTATE_HEADER = DLQ_HEADER_PREFIX + "sqlstate"
CONSTRAINT_HEADER = DLQ_HEADER_PREFIX + "constraint"
ATTEMPT_HEADER = DLQ_HEADER_PREFIX + "attempt"
FIRST_FAILED_HEADER = DLQ_HEADER_PREFIX + "first-failed-at"
FAILED_HEADER = DLQ_HEADER_PREFIX + "failed-at"
_FIRST_ADDED = CONNECT_ERRORS_PREFIX + "topic"

_DECIMAL = re.compile(rb'(?P<quote>"?)(?P<digits>-?\d+(?:\.\d+)?(?:[eE][+-]?\d{1,4})?)(?P=quote)')
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")

_AccountId = Annotated[int, msgspec.Meta(ge=0, le=MAX_ACCOUNT_ID)]


class _PaymentJson(msgspec.Struct, rename="camel", gc=False):
    message_id: str | None = None
    account_id: _AccountId | None = None
    cust_id: _AccountId | None = None
    amount: msgspec.Raw = msgspec.Raw()
    currency: str | None = None
    status: int | None = None
    type: str | None = None
    comment: str | None = None
    external_ref_id: str | None = None


_decode_payment = msgspec.json.Decoder(_PaymentJson).decode
_encode_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[ProducerRecord]).decode


@frozen
class Topics:
    """The names of the four topics.

    Attributes:
        writer: The input topic.
    """

    writer: str = "payment_writer_topic"
    read: str = "payment_read_topic"
    email: str = "payment_email"
    dead_letter: str = "payment_writer_dlq"


@frozen
class Codec:
    """Decodes records and encodes events, with the settings of an installation.

    Attributes:
        account_field: The events' name of the account: ``accountId``, or ``custId`` for older
            readers.
        email_statuses: Payments with these statuses get an e-mail event.
        event_headers: Fixed headers that every event gets.
        max_value_bytes: A longer record value becomes a dead letter (``too-large``).
    """

    topics: Topics = field(factory=Topics)
    account_field: str = "accountId"
    email_statuses: frozenset[Status] = frozenset({Status.SUCCESS})
    event_headers: Headers = ()
    max_value_bytes: int = 1024 * 1024

    def decode(self, record: Record) -> DecodedPayment | DeadLettered | WarmedUp:
        """Decode a record: a payment, a dead letter with its reason, or a warm-up."""
        if record.value == b"{}" or any(name == WARM_UP_HEADER for name, _ in record.headers):
            return WarmedUp(record)
        try:
            payment = self.decode_payment(record.value)
            _check_key(record.key, payment.account_id)
        except Rejected as reason:
            return DeadLettered(record, reason)
        return DecodedPayment(record, payment)

    def decode_payment(self, value: bytes | None) -> NewPayment:
        """Decode a payment as producers send it.

        Raises:
            Rejected: It breaks a rule; the reason never holds a value.
        """
        if value is None:
            raise Rejected("no-value", "the record has no value (a tombstone)")
        if len(value) > self.max_value_bytes:
            raise Rejected("too-large", f"the value exceeds {self.max_value_bytes} bytes")
        try:
            raw = _decode_payment(value)
        except (ValueError, RecursionError) as error:
            raise _undecodable(value, error) from None
        return NewPayment(
            message_id=raw.message_id or _missing("messageId"),
            account_id=_account(raw),
            amount=_amount(raw.amount),
            currency=raw.currency or _missing("currency"),
            status=_status(raw.status),
            type=raw.type or _missing("type"),
            comment=raw.comment or None,
            external_ref_id=raw.external_ref_id or None,
        )

    def encode_payment(self, payment: NewPayment) -> bytes:
        """Encode a payment as producers send it; `decode_payment` reads it back."""
        fields = self._fields(payment.message_id, payment)
        return _encode_json({**fields, **_notes(payment)})

    def payment_record(self, payment: NewPayment, headers: Headers = ()) -> ProducerRecord:
        """Return the record of a payment for the input topic; its key is the account."""
        key = str(payment.account_id).encode()
        return ProducerRecord(self.topics.writer, key, self.encode_payment(payment), headers)

    def warm_ups(self, count: int) -> list[ProducerRecord]:
        """Return warm-up records for the input topic."""
        return [ProducerRecord(self.topics.writer, None, b"{}", ((WARM_UP_HEADER, b"1"),))] * count

    def events(self, written: Written) -> list[ProducerRecord]:
        """Return the read event of a payment, and its e-mail event if its status gets one."""
        payment, stated = written.payment, written.payment.stated
        created_at = _iso(payment.created_at)
        headers = (*self.event_headers, *_passed_on(written.record.headers))
        common = {"id": payment.id.text, **self._fields(stated.message_id, stated)}
        read = _read(common, stated, created_at, created_at, payment.version)
        events = [_event(self.topics.read, "read", read, headers, written)]
        if stated.status in self.email_statuses:
            email = {**common, "createdAt": created_at}
            events.append(_event(self.topics.email, "email", email, headers, written))
        return events

    def rebuilt_event(self, payment: StoredPayment) -> ProducerRecord:
        """Return the read event of a stored payment, with the event id of the original event.

        The tables do not keep the message id, so it is ``rebuilt:<payment id>:<version>``. They do
        not keep the partition and the headers of the payment's record either: the partition
        follows from the key, and `PASSED_ON_HEADERS` are missing.
        """
        version = f"{payment.id.text}:{payment.version}"
        common = {"id": payment.id.text, **self._fields(REBUILT_PREFIX + version, payment)}
        created_at, updated_at = _iso(payment.id.created_at), _iso(payment.updated_at)
        read = _read(common, payment, created_at, updated_at, payment.version)
        return ProducerRecord(
            topic=self.topics.read,
            key=str(payment.account_id).encode(),
            value=_encode_json(read),
            headers=((EVENT_ID_HEADER, f"{version}:read".encode()), *self.event_headers),
        )

    def dead_letter(self, letter: DeadLettered, now: datetime) -> ProducerRecord:
        """Return the dead letter of a record: its own bytes, and the reason in headers (G4)."""
        record, reason = letter.record, letter.reason
        added = {
            _FIRST_ADDED: record.partition.topic,
            CONNECT_ERRORS_PREFIX + "partition": str(record.partition.number),
            CONNECT_ERRORS_PREFIX + "offset": str(record.offset),
            CONNECT_ERRORS_PREFIX + "exception.message": reason.reason,
            CODE_HEADER: reason.code,
            SQLSTATE_HEADER: reason.sqlstate,
            CONSTRAINT_HEADER: reason.constraint,
            ATTEMPT_HEADER: str(attempts(record.headers) + 1),
            FIRST_FAILED_HEADER: _first_failed(record.headers) or _iso(now),
            FAILED_HEADER: _iso(now),
        }
        kept = [h for h in record.headers if h[0] not in (ATTEMPT_HEADER, FIRST_FAILED_HEADER)]
        return ProducerRecord(
            topic=self.topics.dead_letter,
            key=record.key,
            value=record.value,
            headers=(*kept, *((name, text.encode()) for name, text in added.items() if text)),
            partition=record.partition.number,
            timestamp=record.timestamp,
        )

    def _fields(self, message_id: str, payment: NewPayment | StoredPayment) -> dict[str, Any]:
        return {
            "messageId": message_id,
            self.account_field: payment.account_id,
            "amount": msgspec.Raw(format(payment.amount, "f").encode()),
            "currency": payment.currency,
            "status": payment.status.value,
            "type": payment.type,
        }


def pack(events: Sequence[ProducerRecord]) -> bytes:
    """Pack events into the payload of an outbox row."""
    return _pack(events)


def unpack(payload: bytes) -> list[ProducerRecord]:
    """Unpack the payload of an outbox row."""
    return _unpack(payload)


def attempts(headers: Headers) -> int:
    """Return the number of times that the record became a dead letter, by its headers."""
    attempt = last_header(headers, ATTEMPT_HEADER) or b""
    return int(attempt) if attempt.isdigit() and len(attempt) < 10 else 0


def added_headers(headers: Headers) -> Headers:
    """Return the headers of a dead letter that were added to those of its record.

    Headers before the last one that names the topic came with the record, whatever their names.
    """
    return tuple(header for header, added in _with_added(headers) if added)


def without_letter_headers(headers: Headers) -> Headers:
    """Return the headers for a replay: only attempt and first failure stay of those added."""
    kept = (ATTEMPT_HEADER, FIRST_FAILED_HEADER)
    return tuple(header for header, added in _with_added(headers) if not added or header[0] in kept)


def _with_added(headers: Headers) -> Iterable[tuple[tuple[str, bytes | None], bool]]:
    """Each header of a dead letter, and whether it was added."""
    names = [name for name, _ in headers]
    own = len(names) - names[::-1].index(_FIRST_ADDED) - 1 if _FIRST_ADDED in names else 0
    for position, header in enumerate(headers):
        prefixes = (CONNECT_ERRORS_PREFIX, DLQ_HEADER_PREFIX)
        yield header, position >= own and header[0].startswith(prefixes)


def _first_failed(headers: Headers) -> str | None:
    text = last_header(headers, FIRST_FAILED_HEADER)
    return text.decode("ascii", "replace") if text and len(text) < 40 else None


def _undecodable(value: bytes, error: Exception) -> Rejected:
    """The decoder's messages name types and fields, never values."""
    if isinstance(error, msgspec.ValidationError) and "`$." in str(error):
        return Rejected("invalid-field", str(error))
    if isinstance(error, UnicodeDecodeError):
        return Rejected("bad-text", "the value is not UTF-8")
    if _SURROGATE.search(value) and value.rstrip().endswith(b"}"):
        return Rejected("bad-text", "the value holds a lone surrogate")
    if value.startswith(BOM_UTF8):
        return Rejected("bad-json", "the value begins with a byte order mark")
    return Rejected("bad-json", "the value is not a JSON object")


def _account(raw: _PaymentJson) -> int:
    if raw.account_id is not None and raw.cust_id is not None and raw.account_id != raw.cust_id:
        raise Rejected("invalid-field", "accountId and custId name different accounts")
    account_id = raw.cust_id if raw.account_id is None else raw.account_id
    return _missing("accountId") if account_id is None else account_id


def _amount(raw: msgspec.Raw) -> Decimal:
    found = _DECIMAL.fullmatch(raw)
    if found is None:
        raise Rejected("invalid-field", "amount is missing or no decimal number")
    amount = Decimal(found["digits"].decode())
    exponent = amount.as_tuple().exponent
    if isinstance(exponent, int) and exponent > 0 and amount.adjusted() < 28:
        return amount.quantize(Decimal(1))
    return amount


def _status(raw: int | None) -> Status:
    try:
        return Status(_missing("status") if raw is None else raw)
    except ValueError:
        raise Rejected("invalid-field", "status needs 2, 0 or -2") from None


def _missing(name: str) -> Any:
    raise Rejected("invalid-field", f"{name} is missing or empty")


def _check_key(key: bytes | None, account_id: int) -> None:
    if not key:
        raise Rejected("key-missing", "the record has no key; it needs the account id")
    if key != str(account_id).encode():
        raise Rejected("key-mismatch", "the record's key is not the payment's account id")


def _event(
    topic: str, kind: str, fields: Mapping[str, Any], headers: Headers, written: Written
) -> ProducerRecord:
    payment, record = written.payment, written.record
    event_id = f"{payment.id.text}:{payment.version}:{kind}".encode()
    return ProducerRecord(
        topic=topic,
        key=record.key,
        value=_encode_json(fields),
        headers=((EVENT_ID_HEADER, event_id), *headers),
        partition=record.partition.number,
    )


def _read(
    common: Mapping[str, Any],
    payment: NewPayment | StoredPayment,
    created_at: str,
    updated_at: str,
    version: int,
) -> dict[str, Any]:
    """The fields of a read event; `common` are those that an e-mail event has, too."""
    times = {"createdAt": created_at, "updatedAt": updated_at}
    return {**common, **_notes(payment), **times, "version": version}


def _notes(payment: NewPayment | StoredPayment) -> dict[str, str]:
    optional = {"comment": payment.comment, "externalRefId": payment.external_ref_id}
    return {name: text for name, text in optional.items() if text}


def _passed_on(headers: Headers) -> Iterable[tuple[str, bytes]]:
    if not headers:
        return
    for name in PASSED_ON_HEADERS:
        value = last_header(headers, name)
        if value is not None and len(value) <= MAX_PASSED_ON_BYTES:
            yield name, value


def _iso(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")
