"""Sample payments: the same for the same seed, and of every kind."""

import statistics
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
from voltpay_core.payments import NewPayment, Status
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


def test_payments_are_as_varied_as_real_ones() -> None:
    """A few accounts pay most, and every status, type, currency and comment has its share."""
    codec, count = Codec(), 20_000
    found = [codec.decode(record(event)) for event in samples(codec, count, 1)]
    payments = [each.payment for each in found if isinstance(each, DecodedPayment)]
    accounts = Counter(payment.account_id for payment in payments)
    assert len(accounts) > 450
    ranked = [share for _, share in accounts.most_common()]
    assert sum(ranked[:100]) / count == pytest.approx(0.447, abs=0.02)  # sqrt(0.2)
    assert ranked[0] / count < 0.06
    assert min(accounts) == 1_000_000
    assert all((account - 1_000_000) % 7919 == 0 for account in accounts)
    shares = {
        Status.SUCCESS: 0.9,
        Status.PENDING: 0.07,
        Status.FAIL: 0.03,
        "comment": 0.4,
        "reference": 0.3,
    }
    seen = Counter[object](payment.status for payment in payments)
    seen["comment"] = sum(payment.comment is not None for payment in payments)
    seen["reference"] = sum(payment.external_ref_id is not None for payment in payments)
    for kind, share in shares.items():
        assert seen[kind] / count == pytest.approx(share, abs=0.015)
    for values, kinds in (
        ([payment.currency for payment in payments], 8),
        ([payment.type for payment in payments], 6),
        ([payment.comment for payment in payments if payment.comment], 12),
    ):
        times = Counter(values)
        assert len(times) == kinds
        assert min(times.values()) > 0.8 * len(values) / kinds


def test_amounts_fit_their_currency() -> None:
    """An amount has as many digits as its currency; it is mostly some ten, seldom some thousand."""
    digits = {"JPY": 0, "KWD": 3, "BHD": 3}
    codec = Codec()
    units = []
    for event in samples(codec, 5000, 2):
        found = codec.decode(record(event))
        assert isinstance(found, DecodedPayment)
        fraction = digits.get(found.payment.currency, 2)
        amount = found.payment.amount
        assert amount == round(amount, fraction)
        units.append(int(amount.scaleb(fraction)))
    assert min(units) >= 1
    assert any(unit % 10 for unit in units)
    assert statistics.median(units) == pytest.approx(2981, rel=0.1)  # e to the power of 8
    assert statistics.quantiles(units, n=10)[-1] == pytest.approx(20_380, rel=0.2)


def test_a_reference_is_the_number_of_its_payment() -> None:
    """References count all payments, from one."""
    codec = Codec()
    for number, event in enumerate(samples(codec, 200, 3), 1):
        found = codec.decode(record(event))
        assert isinstance(found, DecodedPayment)
        assert found.payment.external_ref_id in {None, f"INV-{number:06}"}


def test_only_the_last_thousand_are_repeated() -> None:
    """A duplicate repeats one of the last 1000 payments, any of them."""
    made = list(samples(Codec(), 20_000, 4, Mix(duplicates=0.5)))
    fresh: list[ProducerRecord] = []
    ages = []
    seen: dict[bytes | None, int] = {}
    for event in made:
        if event.value in seen:
            ages.append(len(fresh) - seen[event.value])
        else:
            seen[event.value] = len(fresh)
            fresh.append(event)
    assert len(ages) == pytest.approx(10_000, rel=0.05)
    assert (min(ages), max(ages)) == (1, 1000)


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
