"""Rebuilds of read events from the tables."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.pace import Time
from tests.harness.rebuilding import ALL, as_rebuilt, as_record, event_id, once, rebuild_all, write

from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.local.sqlite_reader import SqlitePaymentReader
from voltpay_adapters.testing.database import MemoryDatabase, MemoryPaymentReader, MemoryTables
from voltpay_adapters.testing.faults import Faults, FaultyPublisher, unavailable
from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_adapters.testing.strategies import new_payments
from voltpay_core import rebuilding
from voltpay_core.codec import Codec
from voltpay_core.errors import Unavailable
from voltpay_core.events import ReadEvent
from voltpay_core.ids import PaymentId, PaymentIdGenerator
from voltpay_core.payments import NewPayment, Status, StoredPayment
from voltpay_core.ports import PaymentDatabase, PaymentRange, PaymentReader
from voltpay_core.rebuilding import Rebuilt, rebuild

T = TypeVar("T")

CODEC = Codec()
A_PAYMENT = NewPayment("m", 7, Decimal("12.50"), "EUR", Status.SUCCESS, "VSA")
codecs = st.builds(
    Codec,
    account_field=st.sampled_from(("accountId", "custId")),
    event_headers=st.sampled_from(((), (("__TypeId__", b"com.voltpay.ReadEvent"),))),
)
payments = st.lists(new_payments(), max_size=8)


def for_ever(act: Callable[[], T]) -> T:
    """A policy that retries until it succeeds."""
    while True:
        try:
            return act()
        except Unavailable:
            continue


@contextmanager
def memory() -> Iterator[tuple[PaymentDatabase, PaymentReader]]:
    tables = MemoryTables()
    yield MemoryDatabase(tables), MemoryPaymentReader(tables)


@contextmanager
def sqlite() -> Iterator[tuple[PaymentDatabase, PaymentReader]]:
    with TemporaryDirectory() as folder:
        path = str(Path(folder, "voltpay.db"))
        yield SqliteDatabase(path), SqlitePaymentReader(path)


@pytest.mark.parametrize("store", [memory, sqlite])
@given(codec=codecs, stated=payments)
def test_a_rebuilt_event_is_the_original_but_for_its_message_id(
    store: Callable[[], AbstractContextManager[tuple[PaymentDatabase, PaymentReader]]],
    codec: Codec,
    stated: Sequence[NewPayment],
) -> None:
    """Each payment gets its read event again: same bytes and event id, and a derived message id."""
    with store() as (database, reader):
        originals = {event_id(event): event for event in write(database, codec, stated)}
        found = rebuild_all(reader, codec)
    assert {event_id(event): event for event in found} == {
        name: as_rebuilt(event) for name, event in originals.items()
    }
    assert len(found) == len(originals)


@given(
    stated=st.lists(
        new_payments(account_ids=st.integers(1, 3)), max_size=12, unique_by=lambda p: p.message_id
    )
)
def test_the_events_of_an_account_keep_their_order(stated: Sequence[NewPayment]) -> None:
    """The rebuilt events of each account come in the order of the original ones (G3)."""
    with memory() as (database, reader):
        originals = write(database, CODEC, stated)
        found = rebuild_all(reader)
    for account in {event.key for event in originals}:
        assert [event_id(each) for each in found if each.key == account] == [
            event_id(each) for each in originals if each.key == account
        ]


@given(stated=payments)
def test_a_reader_decodes_rebuilt_events(stated: Sequence[NewPayment]) -> None:
    """A rebuilt event is a `ReadEvent`, whose message id comes from payment id and version."""
    with memory() as (database, reader):
        write(database, CODEC, stated)
        for event in map(ReadEvent.decode, map(as_record, rebuild_all(reader))):
            assert event.message_id == f"rebuilt:{event.id}:{event.version}"
            assert event.event_id == f"{event.id}:{event.version}:read"


@given(stated=payments, rate=st.integers(1, 4), stops=st.lists(st.booleans(), max_size=6))
def test_a_stopped_rebuild_continues_after_its_last_payment(
    stated: Sequence[NewPayment], rate: int, stops: Sequence[bool]
) -> None:
    """Rebuilds that are stopped and continued publish what one rebuild publishes."""
    with memory() as (database, reader):
        write(database, CODEC, stated)
        whole, pieces, rest = rebuild_all(reader), MemoryPublisher(), ALL
        answers, finished = iter(stops), False
        while not finished:
            told: list[Rebuilt] = []
            done = rebuild(
                reader,
                pieces,
                CODEC,
                rest,
                retry=once,
                pace=Time().pace(rate),
                stop=lambda: next(answers, False),
                notify=told.append,
            )
            assert done.published == (told[-1].published if told else 0)
            assert done.last == (told[-1].last if told else rest.after)
            finished, rest = done.finished, rest if done.last is None else rest.rest(done.last)
        assert pieces.events == whole


@given(
    stated=payments,
    rate=st.integers(1, 4),
    faults=st.sets(st.integers(0, 30), max_size=8),
    prompt=st.booleans(),
)
def test_an_outage_repeats_events_and_loses_none(
    stated: Sequence[NewPayment], rate: int, faults: set[int], prompt: bool
) -> None:
    """Whenever publishing fails, events first appear in order, and repeats have the same bytes."""
    with memory() as (database, reader):
        write(database, CODEC, stated)
        events = MemoryPublisher(prompt=prompt)
        faulty = FaultyPublisher(events, Faults(dict.fromkeys(faults, unavailable)))
        rebuild(reader, faulty, CODEC, ALL, retry=for_ever, pace=Time().pace(rate))
        whole = rebuild_all(reader)
    assert list(dict.fromkeys(map(event_id, events.events))) == list(map(event_id, whole))
    assert all(event in whole for event in events.events)


@given(stated=payments, rate=st.integers(1, 4), fault=st.integers(0, 30))
def test_what_was_reported_before_a_failure_is_published(
    stated: Sequence[NewPayment], rate: int, fault: int
) -> None:
    """A rebuild that fails continues after the last payment that it reported."""
    with memory() as (database, reader):
        write(database, CODEC, stated)
        events, told = MemoryPublisher(), [Rebuilt()]
        faulty = FaultyPublisher(events, Faults({fault: unavailable}))
        pace = Time().pace(rate)
        try:
            rebuild(reader, faulty, CODEC, ALL, retry=once, pace=pace, notify=told.append)
        except Unavailable:
            rest = ALL if told[-1].last is None else ALL.rest(told[-1].last)
            assert rebuild(reader, events, CODEC, rest, retry=once).finished
        assert list(dict.fromkeys(map(event_id, events.events))) == [
            event_id(event) for event in rebuild_all(reader)
        ]


@given(count=st.integers(0, 40), rate=st.integers(1, 7))
def test_a_rebuild_keeps_to_its_rate(count: int, rate: int) -> None:
    """N events take the seconds that the rate allows, in waits of a second at most."""
    stated = [evolve(A_PAYMENT, message_id=f"m{number}") for number in range(count)]
    time = Time()
    with memory() as (database, reader):
        write(database, CODEC, stated)
        began = time.now
        rebuild(reader, MemoryPublisher(), CODEC, ALL, retry=once, pace=time.pace(rate))
    assert time.now - began == pytest.approx(max(0, -(-count // rate) - 1))
    assert all(wait <= 1 + 1e-9 for wait in time.waits)


def test_a_stop_ends_a_wait_before_its_events_are_published() -> None:
    """If the work must stop during a wait, nothing more is published, and the rest can follow."""
    time, events = Time(), MemoryPublisher()
    stated = [evolve(A_PAYMENT, message_id=f"m{number}") for number in range(3)]

    def stop_soon(_: Rebuilt) -> None:
        time.stopped = True

    with memory() as (database, reader):
        write(database, CODEC, stated)
        done = rebuild(reader, events, CODEC, ALL, retry=once, pace=time.pace(1), notify=stop_soon)
    assert (done.published, done.finished, len(events.events)) == (1, False, 1)


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many payments there are, no more than a chunk of them is read at a time."""
    monkeypatch.setattr(rebuilding, "CHUNK", 3)
    stated = [evolve(A_PAYMENT, message_id=f"m{number}") for number in range(10)]
    with memory() as (database, reader):
        write(database, CODEC, stated)
        told: list[int] = []
        rebuild(
            reader,
            MemoryPublisher(),
            CODEC,
            ALL,
            retry=once,
            notify=lambda done: told.append(done.published),
        )
    assert told == [3, 6, 9, 10]


def test_a_broken_publisher_is_reset() -> None:
    """What has failed is dropped before its page is published again."""
    events = MemoryPublisher(broken=True)

    def twice(act: Callable[[], T]) -> T:
        try:
            return act()
        except Unavailable:
            return act()

    with memory() as (database, reader):
        write(database, CODEC, [A_PAYMENT])
        assert rebuild(reader, events, CODEC, ALL, retry=twice).published == 1
    assert len(events.events) == 1


def test_a_changed_payment_has_its_present_state() -> None:
    """If a payment was changed, its event has the time and version of the change."""
    payment_id = PaymentId.parse("01JHMMRQNTSTW29HXTWYAXQZQA-003")
    amount, changed = Decimal("12.5"), datetime(2026, 2, 3, 4, 5, 6, 789_000, tzinfo=UTC)
    payment = StoredPayment(
        payment_id, 7, amount, "EUR", Status.FAIL, "VSA", "new", None, changed, version=3
    )
    event = ReadEvent.decode(as_record(CODEC.rebuilt_event(payment)))
    assert (event.updated_at, event.version, event.comment) == (changed, 3, "new")
    assert event.created_at == payment_id.created_at
    assert event.event_id == f"{payment_id}:3:read"
    assert event.message_id == f"rebuilt:{payment_id}:3"


@given(milliseconds=st.integers(0, 10**13), microseconds=st.integers(1, 10**6))
def test_the_bounds_of_a_range_hold_its_ids(milliseconds: int, microseconds: int) -> None:
    """The ids of all payments of a range are between its bounds, whatever fraction it ends with."""
    payment_id = PaymentIdGenerator(lambda: milliseconds).mint(7)
    end = payment_id.created_at + timedelta(microseconds=microseconds)
    above, below = PaymentRange(end, payment_id.created_at).ids
    assert above < payment_id.text < below


@given(start=st.datetimes(timezones=st.just(UTC)), at=st.integers(0, 10**13))
def test_the_rest_of_a_range_begins_with_the_last_payment(start: datetime, at: int) -> None:
    """A database need not look at months before the last payment, nor before the range itself."""
    last = PaymentIdGenerator(lambda: at).mint(7)
    within = PaymentRange(datetime.max.replace(tzinfo=UTC), start)
    rest = PaymentRange(within.end, max(start, last.created_at), last)
    assert within.rest(last) == rest
