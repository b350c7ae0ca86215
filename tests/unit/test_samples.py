"""Sample payments: the same for the same seed, and of every kind."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.local.files import PaymentFilePublisher
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.testing.samples import POISON, Mix, poisoned, samples
from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.codec import WARM_UP_HEADER, Codec
from voltpay_core.outcomes import DeadLettered, DecodedPayment
from voltpay_core.payments import NewPayment
from voltpay_core.records import Partition, ProducerRecord, Record

mixes = st.builds(
    Mix,
    accounts=st.integers(1, 1000),
    duplicates=st.floats(0, 1),
    poison=st.floats(0, 1),
)
wires = st.builds(Codec, account_field=st.sampled_from(("accountId", "custId")))
seeds = st.integers(0, 2**32)


def record(event: ProducerRecord) -> Record:
    return Record(Partition("in", 0), 0, 0, event.key, event.value, event.headers)


@given(codec=wires, count=st.integers(0, 50), seed=seeds, mix=mixes)
def test_the_same_seed_makes_the_same_records(
    codec: Codec, count: int, seed: int, mix: Mix
) -> None:
    """Equal arguments make equal records, as many as were asked for."""
    made = list(samples(codec, count, seed, mix))
    assert len(made) == count
    assert made == list(samples(codec, count, seed, mix))


@given(codec=wires, seed=seeds, accounts=st.integers(1, 50))
def test_without_poison_every_record_is_a_new_payment(
    codec: Codec, seed: int, accounts: int
) -> None:
    """Clean samples are acceptable payments of that many accounts, each under its own id."""
    found = [codec.decode(record(event)) for event in samples(codec, 100, seed, Mix(accounts))]
    payments = [item.payment for item in found if isinstance(item, DecodedPayment)]
    assert len(payments) == 100
    assert len({payment.message_id for payment in payments}) == 100
    assert len({payment.account_id for payment in payments}) <= accounts


@given(codec=wires, kind=st.sampled_from(sorted(POISON)), payment=new_payments())
def test_poison_is_a_dead_letter(codec: Codec, kind: str, payment: NewPayment) -> None:
    """Whatever the payment was, each way to spoil it makes it unacceptable."""
    assert isinstance(codec.decode(record(poisoned(kind, payment, codec))), DeadLettered)


def test_the_shares_are_kept() -> None:
    """Duplicates and poison come about as often as asked for, and poison of every kind."""
    codec = Codec()
    made = list(samples(codec, 20_000, 1, Mix(duplicates=0.1, poison=0.05)))
    kinds = Counter(type(codec.decode(record(event))) for event in made)
    assert kinds[DeadLettered] == pytest.approx(1000, rel=0.15)
    copies = sum(count - 1 for count in Counter((e.key, e.value) for e in made).values())
    assert copies > 1500
    letters = [d for d in (codec.decode(record(e)) for e in made) if isinstance(d, DeadLettered)]
    assert {letter.reason.code for letter in letters} == {
        *("bad-json", "bad-text", "invalid-field", "key-mismatch", "key-missing", "no-value"),
    }


keys = st.none() | st.binary(max_size=4) | st.integers(0, 3).map(lambda n: str(n).encode())
values = st.one_of(
    st.none(),
    st.binary(max_size=40),
    st.sampled_from(
        (
            b"{}",
            b'{"messageId":"m","accountId":1}',
            b'{"messageId":"m","accountId":1,"custId":2}',
            b'{"messageId":"","accountId":1}',
            b'{"value":"x","accountId":1}',
            b'{"accountId":1}',
            b'{"messageId":"m",\n"accountId":1}',
        )
    ),
)


@given(
    events=st.lists(
        st.builds(
            ProducerRecord,
            topic=st.just("in"),
            key=keys,
            value=values,
            headers=st.sampled_from(((), ((WARM_UP_HEADER, b"1"),), (("binary", b"\xff"),))),
        ),
        max_size=8,
    )
)
def test_a_file_of_payments_is_read_back_as_it_was_produced(
    tmp_path_factory: pytest.TempPathFactory, events: list[ProducerRecord]
) -> None:
    """Key, value and headers survive the way through a file of lines, whatever they hold."""
    path = tmp_path_factory.mktemp("samples") / "in.jsonl"
    payments = PaymentFilePublisher(str(path))
    payments.publish(events).wait()
    payments.close()
    assert read(path) == [(event.key, event.value, event.headers) for event in events]


def read(path: Path) -> list[tuple[object, object, object]]:
    database = SqliteDatabase(":memory:")
    source = FileSource(str(path), database.begin)
    source.seek_to_committed(source.poll(0).assigned)
    found: list[tuple[object, object, object]] = []
    while not source.drained():
        polled = source.poll(100)
        found += [(r.key, r.value, r.headers) for r in polled.records]
        if polled.positions:
            source.acknowledge(polled.positions)
    source.close()
    database.close()
    return found
