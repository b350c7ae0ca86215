"""The wire format: what is decoded, what is encoded, and what is rejected."""

import json
import re
from datetime import UTC, datetime
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from attrs import evolve
from hypothesis import example, given
from hypothesis import strategies as st
from tests.harness import strategies
from tests.harness.stack.places import ROOT
from tests.harness.strategies import POISON, Poison

from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.codec import (
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    DLQ_HEADER_PREFIX,
    EVENT_ID_HEADER,
    MAX_PASSED_ON_BYTES,
    Codec,
    Topics,
    pack,
    unpack,
    without_letter_headers,
)
from voltpay_core.errors import Rejected
from voltpay_core.ids import PaymentId, PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, DecodedPayment, WarmedUp, Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.records import Headers, Partition, ProducerRecord, Record, last_header

CODEC = Codec()
PLACE = Partition("payment_writer_topic", 7)
NOW = datetime(2024, 2, 29, 12, 0, 0, 5000, tzinfo=UTC)
LATER = datetime(2024, 3, 1, tzinfo=UTC)
CANARY = "canary-4711"
WIRE_FORMAT = (ROOT / "docs/reference/wire-format.md").read_text("utf-8")
DOCUMENTED_CODES = re.findall(r"^\| `([a-z-]+)` \|", WIRE_FORMAT.split("| code |")[1], re.MULTILINE)
payment_ids = st.integers(0, 2**47).map(lambda ms: PaymentIdGenerator(lambda: ms).mint(42))

ids = PaymentIdGenerator(lambda: 1_709_208_000_005)


def record(
    value: bytes | None, key: bytes | None = b"1", headers: Headers = (), offset: int = 5
) -> Record:
    return Record(PLACE, offset, 1_700_000_000_000, key, value, headers)


def written(payment: NewPayment, headers: Headers = ()) -> Written:
    key = str(payment.account_id).encode()
    return Written(record(b"whatever", key, headers), Payment(ids.mint(42), payment))


def exact(value: bytes | None) -> dict[str, Any]:
    """JSON with the digits of its numbers kept, and no key twice."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({name for name, _ in pairs}) == len(pairs)
        return dict(pairs)

    body: dict[str, Any] = json.loads(value or b"", parse_float=Decimal, object_pairs_hook=unique)
    return body


# Payments in


@given(new_payments())
def test_what_is_encoded_is_decoded(payment: NewPayment) -> None:
    """A payment that is written and read back is itself, amount and texts to the last digit."""
    again = CODEC.decode_payment(CODEC.encode_payment(payment))
    assert again == payment
    assert format(again.amount, "f") == format(payment.amount, "f")


@given(st.data(), new_payments())
def test_every_producer_is_understood(data: st.DataObject, payment: NewPayment) -> None:
    """Names, order, space, nulls, empties, unknown and repeated fields do not change a payment."""
    value = data.draw(strategies.statements(payment))
    assert CODEC.decode_payment(value) == payment


@given(new_payments())
def test_a_record_of_a_payment_is_a_message(payment: NewPayment) -> None:
    """A valid payment with its account as the key is decoded."""
    source = record(CODEC.encode_payment(payment), str(payment.account_id).encode())
    assert CODEC.decode(source) == DecodedPayment(source, payment)


@pytest.mark.parametrize("poison", POISON, ids=lambda poison: poison.name)
def test_poison_is_a_dead_letter_with_its_code(poison: Poison) -> None:
    """Each kind of poison becomes a dead letter with its stable code, and nothing raises."""
    source = record(poison.value, poison.key)
    letter = CODEC.decode(source)
    assert isinstance(letter, DeadLettered)
    assert letter.record is source
    assert letter.reason.code == poison.code


@given(
    value=st.none() | st.binary() | new_payments().map(CODEC.encode_payment),
    key=st.none() | st.binary(),
    headers=strategies.headers,
)
@example(b'{"\xff": 1}', b"1", ())
def test_any_bytes_are_decoded_somehow(
    value: bytes | None, key: bytes | None, headers: Headers
) -> None:
    """A record, whatever it holds, is a payment, a warm-up, or a letter of a documented code."""
    found = CODEC.decode(record(value, key, headers))
    if isinstance(found, DeadLettered):
        assert found.reason.code in DOCUMENTED_CODES
    else:
        assert isinstance(found, DecodedPayment | WarmedUp)


@given(st.recursive(strategies.json_values, st.lists).map(json.dumps))
def test_any_json_is_decoded_somehow(text: str) -> None:
    """No JSON, whatever its fields hold, makes decoding fail."""
    names = ("messageId", "accountId", "custId", "amount", "currency", "status", "type", "comment")
    for name in names:
        value = b'{"%s":%s}' % (name.encode(), text.encode())
        assert isinstance(CODEC.decode(record(value)), DeadLettered)


@pytest.mark.parametrize("name", ["messageId", "currency", "status", "type", "accountId", "amount"])
@pytest.mark.parametrize(
    "value",
    [f'"{CANARY}"', f'["{CANARY}"]', f'{{"{CANARY}": 1}}', "4711.4711", f'"{CANARY}\\u0000"'],
)
def test_reasons_hold_no_value(name: str, value: str) -> None:
    """The reason of a dead letter names the field and never its value."""
    good = json.loads(CODEC.encode_payment(a_payment()))
    text = json.dumps(good | {name: "<here>"}).replace('"<here>"', value)
    letter = CODEC.decode(record(text.encode()))
    if isinstance(letter, DeadLettered):
        told = f"{letter.reason!r} {letter.reason} {letter.reason.reason} {letter!r}"
        assert CANARY not in told
        assert "4711" not in told
    else:
        assert name in {"messageId", "amount"}


def stated_as(name: str, *stated: object) -> list[tuple[str, object]]:
    return [(name, each) for each in stated]


@pytest.mark.parametrize(
    ("name", "stated"),
    [
        *chain.from_iterable(
            stated_as(name, 1, True, [], {}, "x" * 301, "\0", "\ud800", "a\0")
            for name in ("messageId", "currency", "type", "comment", "externalRefId")
        ),
        *stated_as("messageId", "", "dead:1"),
        *stated_as("currency", "", "eur"),
        *stated_as("type", "", "vsa"),
        *stated_as("accountId", None, "1", 1.5, True, -1, 2**63, 10**30, []),
        *stated_as("custId", "1", 1.5, True, -1, 2**63, 10**30, [], 2),
        *stated_as("status", None, 1, "2", True, 10**30, []),
        *stated_as("amount", None, "", 0, -1, "NaN", 1e15, 0.0000001, True, []),
    ],
)
def test_reasons_name_fields_as_the_wire_does(name: str, stated: object) -> None:
    """If a field breaks a rule, the reason names the field as in the wire format."""
    good = json.loads(CODEC.encode_payment(a_payment()))
    if name == "custId" and stated != 2:
        good.pop("accountId")
    refused = CODEC.decode(record(json.dumps(good | {name: stated}).encode()))
    assert isinstance(refused, DeadLettered)
    if stated != "\ud800":  # the decoder does not know the place of one
        assert re.search(rf"\b{name}\b", refused.reason.reason)
    assert not re.search(r"[a-z]_[a-z]", refused.reason.reason)


@pytest.mark.parametrize(
    ("stated", "amount"),
    [
        ("1", "1"),
        ("1.0", "1.0"),
        ('"12.50"', "12.50"),
        ("12e0", "12"),
        ("1e1", "10"),
        ("1.5E+3", "1500"),
        ("120e-2", "1.20"),
        ("1e13", "10000000000000"),
        *((f"1e{power}", None) for power in (14, 27, 28, 29, 9999, -7)),
        *((f"{number}e1", None) for number in (10**26, 10**27, 10**28)),
        ("1e10000", None),
    ],
)
def test_an_amount_has_its_digits(stated: str, amount: str | None) -> None:
    """An amount is kept with the digits that are stated, powers written out, or is refused."""
    value = CODEC.encode_payment(a_payment()).replace(b'"amount":1', f'"amount":{stated}'.encode())
    if amount is None:
        with pytest.raises(Rejected, match="invalid-field: amount"):
            CODEC.decode_payment(value)
    else:
        assert str(CODEC.decode_payment(value).amount) == amount


@pytest.mark.parametrize("end", [b"", b" ", b"\n", b" \r\n"])
@pytest.mark.parametrize(
    ("value", "code"),
    [
        (b'{"messageId":"\\ud800"}', "bad-text"),
        (b'{"messageId":"\\ud800"', "bad-json"),
        (b'{"messageId":"\xff"}', "bad-text"),
        (b'\xef\xbb\xbf{"messageId":"m"}', "bad-json"),
        (b"[]", "bad-json"),
    ],
)
def test_what_cannot_be_read_has_its_code(value: bytes, code: str, end: bytes) -> None:
    """Text that cannot be is told from JSON that cannot be, whatever space follows."""
    with pytest.raises(Rejected) as caught:
        CODEC.decode_payment(value + end)
    assert caught.value.code == code


def a_payment() -> NewPayment:
    return NewPayment("m", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")


def test_the_limit_of_a_value_is_a_setting() -> None:
    """A value of the largest size is decoded; one more byte makes it too large."""
    value = CODEC.encode_payment(a_payment())
    assert isinstance(
        evolve(CODEC, max_value_bytes=len(value)).decode(record(value)), DecodedPayment
    )
    with pytest.raises(Rejected, match="too-large"):
        evolve(CODEC, max_value_bytes=len(value) - 1).decode_payment(value)


@pytest.mark.parametrize("mark", [b"", b"1", b"\xff", None])
@pytest.mark.parametrize("value", [None, b"", b"{}", b"{", b'{"messageId":"m"}'])
def test_warm_ups_are_marked(mark: bytes | None, value: bytes | None) -> None:
    """A record with the warm-up header is a warm-up, whatever the header and the record hold."""
    source = record(value, None, (("voltpay-warmup", mark),))
    assert CODEC.decode(source) == WarmedUp(source)


def test_an_empty_object_is_a_warm_up() -> None:
    """The value {} is a warm-up, under any key."""
    for key in (None, b"", b"1"):
        assert isinstance(CODEC.decode(record(b"{}", key)), WarmedUp)


def test_the_exact_form_of_a_payment_record() -> None:
    """A producer's record is keyed by the account, with the headers that it is given."""
    payment = evolve(a_payment(), account_id=42)
    codec = Codec(topics=Topics(writer="w"))
    value = codec.encode_payment(payment)
    assert codec.payment_record(payment) == ProducerRecord("w", b"42", value)
    headers: Headers = (("traceparent", b"00-1"),)
    assert codec.payment_record(payment, headers) == ProducerRecord("w", b"42", value, headers)
    assert json.loads(value) == {
        "messageId": "m",
        "accountId": 42,
        "amount": 1,
        "currency": "EUR",
        "status": 2,
        "type": "VSA",
    }


def test_the_exact_form_of_warm_ups() -> None:
    """Warm-ups have no key and an empty object, and are marked by their header."""
    warm_up = ProducerRecord("w", None, b"{}", (("voltpay-warmup", b"1"),))
    assert Codec(topics=Topics(writer="w")).warm_ups(2) == [warm_up, warm_up]


# Events out


def test_the_exact_form_of_events() -> None:
    """The read event and the e-mail event of a payment have the documented form."""
    payment = NewPayment(
        "m-1", 4711, Decimal("12.50"), "EUR", Status.SUCCESS, "VSA", "for \u00fc", "ref"
    )
    done = written(payment, (("traceparent", b"00-1"), ("other", b"x")))
    payment_id = done.payment.id.text
    read, email = evolve(CODEC, event_headers=(("fixed", b"y"),)).events(done)
    assert payment_id.endswith("-042")
    assert read == ProducerRecord(
        "payment_read_topic",
        b"4711",
        (
            f'{{"id":"{payment_id}","messageId":"m-1","accountId":4711,"amount":12.50,'
            '"currency":"EUR","status":2,"type":"VSA","comment":"for ü","externalRefId":"ref",'
            '"createdAt":"2024-02-29T12:00:00.005Z","updatedAt":"2024-02-29T12:00:00.005Z",'
            '"version":1}'
        ).encode(),
        (
            ("event-id", f"{payment_id}:1:read".encode()),
            ("fixed", b"y"),
            ("traceparent", b"00-1"),
        ),
        partition=7,
    )
    assert email == ProducerRecord(
        "payment_email",
        b"4711",
        (
            f'{{"id":"{payment_id}","messageId":"m-1","accountId":4711,"amount":12.50,'
            '"currency":"EUR","status":2,"type":"VSA","createdAt":"2024-02-29T12:00:00.005Z"}'
        ).encode(),
        (
            ("event-id", f"{payment_id}:1:email".encode()),
            ("fixed", b"y"),
            ("traceparent", b"00-1"),
        ),
        partition=7,
    )


@given(new_payments(), st.sampled_from(("accountId", "custId")))
def test_events_say_what_was_stated(payment: NewPayment, account_field: str) -> None:
    """Events hold the payment's own values, amounts as numbers with their exact digits."""
    for event in Codec(account_field=account_field).events(written(payment)):
        body = exact(event.value)
        assert body["messageId"] == payment.message_id
        assert body[account_field] == payment.account_id
        amount = re.search(rb'"amount":([0-9.]+),"currency"', event.value or b"")
        assert amount is not None
        assert amount[1].decode() == format(payment.amount, "f")
        assert body["status"] == payment.status.value
        if event.topic == "payment_read_topic":
            assert body.get("comment") == payment.comment
            assert body.get("externalRefId") == payment.external_ref_id


@given(new_payments())
def test_nothing_empty_is_written(payment: NewPayment) -> None:
    """No event has a null or an empty field."""
    bodies = [exact(event.value) for event in CODEC.events(written(payment))]
    bodies.append(exact(CODEC.encode_payment(payment)))
    assert not [body for body in bodies if {None, ""} & set(body.values())]


@given(new_payments(), st.sets(st.sampled_from(Status)))
def test_email_is_for_the_statuses_of_the_setting(
    payment: NewPayment, statuses: set[Status]
) -> None:
    """Every payment has a read event, and then an e-mail event if its status gets one."""
    events = Codec(email_statuses=frozenset(statuses)).events(written(payment))
    topics = [event.topic for event in events]
    assert topics == ["payment_read_topic", "payment_email"][: 1 + (payment.status in statuses)]


def test_passed_on_headers_are_bounded() -> None:
    """The last trace and correlation headers are copied, unless they are too long."""
    long = b"x" * MAX_PASSED_ON_BYTES
    headers = (
        ("traceparent", b"first"),
        ("traceparent", long),
        ("correlation-id", long + b"x"),
        ("anything", b"else"),
    )
    for event in CODEC.events(written(a_payment(), headers)):
        assert event.headers[1:] == (("traceparent", long),)


# Dead letters out


def letter(source: Record, reason: Rejected | None = None, now: datetime = NOW) -> ProducerRecord:
    reason = reason or Rejected("bad-json", "no JSON")
    return CODEC.dead_letter(DeadLettered(source, reason), now)


def test_the_exact_form_of_a_dead_letter() -> None:
    """A dead letter is the record itself, with the reason behind its own headers."""
    source = record(b"\xff\x00", None, (("x", b"1"), ("x", None), ("traceparent", b"\xfe")))
    refused = Rejected("refused-by-database", "not now", sqlstate="P0001", constraint="c")
    assert letter(source, refused) == ProducerRecord(
        "payment_writer_dlq",
        None,
        b"\xff\x00",
        (
            *source.headers,
            ("__connect.errors.topic", b"payment_writer_topic"),
            ("__connect.errors.partition", b"7"),
            ("__connect.errors.offset", b"5"),
            ("__connect.errors.exception.message", b"not now"),
            ("voltpay-dlq-code", b"refused-by-database"),
            ("voltpay-dlq-sqlstate", b"P0001"),
            ("voltpay-dlq-constraint", b"c"),
            ("voltpay-dlq-attempt", b"1"),
            ("voltpay-dlq-first-failed-at", b"2024-02-29T12:00:00.005Z"),
            ("voltpay-dlq-failed-at", b"2024-02-29T12:00:00.005Z"),
        ),
        partition=7,
        timestamp=1_700_000_000_000,
    )


@given(
    value=st.none() | st.binary(),
    key=st.none() | st.binary(),
    headers=strategies.headers,
    timestamp=st.none() | st.integers(-(2**63), 2**63 - 1),
)
@example(value=b"bad", key=b"42", headers=(), timestamp=0)
def test_a_dead_letter_is_the_record(
    value: bytes | None, key: bytes | None, headers: Headers, timestamp: int | None
) -> None:
    """Key, value, timestamp and foreign headers stay, and nothing added is empty."""
    event = letter(evolve(record(value, key, headers), timestamp=timestamp))
    own = tuple(header for header in headers if header[0] != "voltpay-dlq-attempt")
    assert (event.key, event.value, event.timestamp) == (key, value, timestamp)
    assert event.headers[: len(own)] == own
    assert all(text for _, text in event.headers[len(own) :])


def test_a_replayed_letter_counts_on() -> None:
    """A letter that fails again keeps its first failure, and names its new offset."""
    first = letter(record(b"v", b"k", (("x", b"1"),)))
    replayed = record(b"v", b"k", without_letter_headers(first.headers), offset=9)
    again = letter(replayed, now=LATER)
    told = dict(again.headers)
    assert told[DLQ_HEADER_PREFIX + "attempt"] == b"2"
    assert told[DLQ_HEADER_PREFIX + "first-failed-at"] == b"2024-02-29T12:00:00.005Z"
    assert told[DLQ_HEADER_PREFIX + "failed-at"] == b"2024-03-01T00:00:00.000Z"
    assert told[CONNECT_ERRORS_PREFIX + "offset"] == b"9"
    assert len(told) == len(again.headers)


@pytest.mark.parametrize(
    "attempt", [b"", b"x", b"-1", b"1.5", b"9" * 5000, "\u0661".encode(), None]
)
def test_an_attempt_that_is_no_number_counts_as_none(attempt: bytes | None) -> None:
    """A letter is made whatever the attempt header of its record holds."""
    event = letter(record(b"v", b"k", (("voltpay-dlq-attempt", attempt),)))
    assert last_header(event.headers, "voltpay-dlq-attempt") == b"1"


def test_a_replay_strips_what_was_added() -> None:
    """Of a letter's added headers, a replay keeps only attempt and first failure."""
    headers = (("x", b"1"), ("correlation-id", None), ("x", b"2"))
    replayed = without_letter_headers(letter(record(b"v", b"k", headers)).headers)
    assert replayed[:3] == headers
    assert [name for name, _ in replayed[3:]] == [
        "voltpay-dlq-attempt",
        "voltpay-dlq-first-failed-at",
    ]
    assert CODE_HEADER not in dict(replayed)


# The outbox between


@given(
    st.lists(
        st.builds(
            ProducerRecord,
            topic=st.text(),
            key=st.none() | st.binary(),
            value=st.none() | st.binary(),
            headers=st.lists(st.tuples(st.text(), st.none() | st.binary())).map(tuple),
            partition=st.none() | st.integers(0, 99),
            timestamp=st.none() | st.integers(0, 2**48),
        )
    )
)
def test_what_is_packed_is_unpacked(events: list[ProducerRecord]) -> None:
    """Unpacking an outbox row returns the packed events."""
    assert unpack(pack(events)) == events


@given(payment_ids, new_payments())
def test_event_ids_name_payment_version_and_kind(
    payment_id: PaymentId, payment: NewPayment
) -> None:
    """The same event always has the same event id."""
    done = Written(record(b"v", b"k"), Payment(payment_id, payment, version=3))
    told = [last_header(event.headers, EVENT_ID_HEADER) for event in CODEC.events(done)]
    expected = [f"{payment_id}:3:{kind}".encode() for kind in ("read", "email")]
    assert told == expected[: len(told)]
