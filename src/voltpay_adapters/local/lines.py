"""The format of a line: a plain payment, or an envelope for keys, headers and other bytes."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Annotated

import msgspec
from attrs import frozen

from voltpay_core.records import Headers, ProducerRecord, Record


@frozen
class Line:
    """The contents of a line.

    Attributes:
        timestamp: Milliseconds since 1970; None if the line has none.
    """

    key: bytes | None
    value: bytes | None
    headers: Headers = ()
    timestamp: int | None = None


class _Payment(msgspec.Struct, rename="camel"):
    message_id: msgspec.Raw = msgspec.Raw()
    account_id: int | None = None
    cust_id: int | None = None
    value: msgspec.Raw = msgspec.Raw()
    value_base64: msgspec.Raw = msgspec.field(name="value_base64", default=msgspec.Raw())


class _Envelope(msgspec.Struct, omit_defaults=True):
    key: str | None = None
    key_base64: str | None = None
    value: str | msgspec.UnsetType | None = msgspec.UNSET
    value_base64: str | None = None
    headers: dict[str, str] = {}
    headers_base64: list[tuple[str, str | None]] = []
    timestamp: Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)] | None = None


_decode_payment = msgspec.json.Decoder(_Payment).decode
_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_encode = msgspec.json.Encoder().encode


def read_line(line: bytes) -> Line:
    """Read a payment, keyed by its account, or an envelope, or else a value without a key."""
    try:
        payment = _decode_payment(line)
        if not payment.message_id and (payment.value or payment.value_base64):
            return read_envelope(line)
    except (ValueError, RecursionError):
        return Line(None, line)
    account = payment.cust_id if payment.account_id is None else payment.account_id
    return Line(None if account is None else str(account).encode(), line)


def read_envelope(line: bytes) -> Line:
    """Read an envelope.

    Raises:
        ValueError: The line is not an envelope.
    """
    read = _decode_envelope(line)
    texts = ((name, text.encode()) for name, text in read.headers.items())
    others = ((name, _bytes(None, base64)) for name, base64 in read.headers_base64)
    return Line(
        _bytes(read.key, read.key_base64),
        _bytes(read.value, read.value_base64),
        (*texts, *others),
        read.timestamp,
    )


def payment_line(event: ProducerRecord) -> bytes:
    """A plain line if `read_line` gets the same record from it, else an envelope."""
    value = event.value
    if (
        value is None
        or event.key is None
        or event.headers
        or b"\n" in value
        or value.endswith(b"\r")
    ):
        return envelope(event)
    return value if read_line(value) == Line(event.key, value) else envelope(event)


def envelope(record: Record | ProducerRecord) -> bytes:
    """A line with a record's key, value, headers and timestamp, whatever their bytes."""
    line = _Envelope(timestamp=record.timestamp)
    line.key, line.key_base64 = _text(record.key)
    text, line.value_base64 = _text(record.value)
    line.value = text if line.value_base64 is None else msgspec.UNSET
    texts = {name: text for name, value in record.headers if (text := _text(value)[0]) is not None}
    if len(texts) == len(record.headers):
        line.headers = texts
    else:  # a JSON object cannot hold bytes, nulls and repeated names
        line.headers_base64 = [
            (name, None if value is None else b64encode(value).decode())
            for name, value in record.headers
        ]
    return _encode(line)


def _text(value: bytes | None) -> tuple[str | None, str | None]:
    if value is None:
        return None, None
    try:
        return value.decode(), None
    except UnicodeDecodeError:
        return None, b64encode(value).decode()


def _bytes(text: str | msgspec.UnsetType | None, base64: str | None) -> bytes | None:
    if base64 is not None:
        return b64decode(base64, validate=True)
    return text.encode() if isinstance(text, str) else None
