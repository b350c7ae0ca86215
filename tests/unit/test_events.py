"""The typed events: what the writer publishes, read back by a service."""

import json
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.codec import EVENT_ID_HEADER, Codec
from voltpay_core.errors import Rejected
from voltpay_core.events import EmailEvent, PaymentEvent, ReadEvent
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.records import Headers, Partition, ProducerRecord, Record

ids = PaymentIdGenerator(lambda: 1_709_208_000_005)
codecs = st.builds(
    Codec,
    account_field=st.sampled_from(("accountId", "custId")),
    email_statuses=st.just(frozenset(Status)),
)
PAYMENT = NewPayment("m-1", 42, Decimal("12.50"), "EUR", Status.SUCCESS, "VSA", "secret", "ref")


def consumed(event: ProducerRecord) -> Record:
    return Record(Partition(event.topic, 0), 0, 0, event.key, event.value, event.headers)


def published(codec: Codec, payment: NewPayment) -> tuple[Payment, Record, Record]:
    stored = Payment(ids.mint(7), payment)
    record = Record(Partition("payments", 0), 0, 0, b"42", b"")
    read, email = codec.events(Written(record, stored))
    return stored, consumed(read), consumed(email)


@given(codec=codecs, payment=new_payments())
def test_events_are_read_back_exactly(codec: Codec, payment: NewPayment) -> None:
    """A service reads every field as the writer has published it, amounts to the last digit."""
    stored, read_record, email_record = published(codec, payment)
    read, email = ReadEvent.decode(read_record), EmailEvent.decode(email_record)
    for event in (read, email):
        assert (event.id, event.created_at) == (stored.id, stored.created_at)
        for name in ("message_id", "account_id", "amount", "currency", "status", "type"):
            assert getattr(event, name) == getattr(payment, name)
        assert str(event.amount) == format(payment.amount, "f")
    assert (read.comment, read.external_ref_id) == (payment.comment, payment.external_ref_id)
    assert (read.version, read.updated_at) == (1, stored.created_at)
    assert read.event_id == f"{stored.id}:1:read"
    assert email.event_id == f"{stored.id}:1:email"


def test_an_event_in_a_log_shows_nothing_of_its_payment() -> None:
    """The repr of an event names it and its payment, and holds no amount and no text of it."""
    _, read, email = published(Codec(), PAYMENT)
    for event in (ReadEvent.decode(read), EmailEvent.decode(email)):
        assert event.event_id in repr(event)
        for content in ("12.50", "EUR", "SUCCESS", "VSA", "secret", "'ref'"):
            assert content not in repr(event)


def test_unknown_fields_are_ignored() -> None:
    """A later writer may add fields to its events."""
    assert ReadEvent.decode(broken(added={"x": 1})).amount == Decimal("12.50")


def test_an_event_id_may_be_anything() -> None:
    """An event id that is not ASCII is read with marks in place of what it should not hold."""
    record = broken(header=((EVENT_ID_HEADER, b"a\xffb"),))
    assert ReadEvent.decode(record).event_id == "a\N{REPLACEMENT CHARACTER}b"


def broken(header: Headers | None = None, **fields: object) -> Record:
    _, read, _ = published(Codec(), PAYMENT)
    body = {**json.loads(read.value or b"", parse_float=str), **fields}
    body = {name: value for name, value in body.items() if value is not ...}
    return evolve(
        read,
        value=json.dumps(body).encode(),
        headers=read.headers if header is None else header,
    )


@pytest.mark.parametrize(
    ("record", "code", "named"),
    [
        (broken(header=()), "invalid-field", "event-id"),
        (evolve(broken(), value=None), "bad-json", "JSON"),
        (evolve(broken(), value=b"secret"), "bad-json", "JSON"),
        (evolve(broken(), value=b"\xff"), "bad-json", "JSON"),
        (broken(id="secret"), "invalid-field", "id"),
        (broken(id=...), "invalid-field", "id"),
        (broken(status=7), "invalid-field", "status"),
        (broken(amount="secret"), "invalid-field", "amount"),
        (broken(accountId=...), "invalid-field", "accountId"),
        (broken(createdAt="secret"), "invalid-field", "createdAt"),
        (broken(version="secret"), "invalid-field", "version"),
    ],
)
@pytest.mark.parametrize("kind", [ReadEvent, EmailEvent])
def test_what_is_no_event_is_rejected(
    kind: type[PaymentEvent], record: Record, code: str, named: str
) -> None:
    """A record that holds no event is rejected with the field's name and without any value."""
    if kind is EmailEvent and named == "version":
        assert kind.decode(record).message_id == "m-1"
        return
    with pytest.raises(Rejected) as caught:
        kind.decode(record)
    assert caught.value.code == code
    assert named in caught.value.reason
    assert "secret" not in caught.value.reason
