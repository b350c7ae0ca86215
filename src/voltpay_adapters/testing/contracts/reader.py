"""The contract of a reader of written payments."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.testing.contracts.store import EXAMPLES, StoreHarness, a_payment
from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.ids import UNIX_EPOCH, PaymentIdGenerator
from voltpay_core.payments import NewPayment, Payment, StoredPayment
from voltpay_core.ports import PaymentDatabase, PaymentRange, PaymentReader

MILLISECOND = timedelta(milliseconds=1)
NEXT_MONTH = timedelta(days=31)
OFFSETS = st.builds(
    lambda month, milliseconds: month * NEXT_MONTH + milliseconds * MILLISECOND,
    st.integers(0, 1),
    st.integers(0, 3),
)

_seconds = count()


class ReaderHarness(StoreHarness, Protocol):
    """One empty database of a test's own, and readers of it."""

    def open_reader(self) -> PaymentReader:
        """Another reader; the harness closes what a test leaves open."""


class ReaderContract:
    """The laws of a `PaymentReader`, for a subclass with a fixture ``harness``."""

    @pytest.fixture
    def database(self, harness: ReaderHarness) -> PaymentDatabase:
        return harness.open()

    @EXAMPLES
    @given(stated=st.lists(new_payments(), max_size=5))
    def test_what_is_read_is_what_was_written(
        self, harness: ReaderHarness, database: PaymentDatabase, stated: list[NewPayment]
    ) -> None:
        """Everything of a payment is read back but its message id; the amount is exact."""
        start = a_second()
        written = [written_at(start, each) for each in stated]
        with database.begin() as work:
            work.payments.add(written)
        before = harness.tables()
        within = PaymentRange(start + MILLISECOND, start)
        found = harness.open_reader().read(within, 10)
        assert list(found) == in_order(written)
        assert harness.tables() == before

    @EXAMPLES
    @given(
        offsets=st.lists(OFFSETS, max_size=12),
        bounds=st.tuples(OFFSETS, OFFSETS),
        limit=st.integers(1, 5),
    )
    def test_pages_give_each_payment_of_a_range_once_and_in_order(
        self,
        harness: ReaderHarness,
        database: PaymentDatabase,
        offsets: list[timedelta],
        bounds: tuple[timedelta, timedelta],
        limit: int,
    ) -> None:
        """Pages of any size are the payments from `start` to before `end`, in order of ids."""
        base = a_second()
        with database.begin() as work:
            work.payments.add([written_at(base + each, a_payment(1).stated) for each in offsets])
        start, end = (base + bound for bound in bounds)
        rows = [row for row in harness.tables().core if start <= row.created_at < end]
        reader, within = harness.open_reader(), PaymentRange(end, start)
        assert [each.id.text for each in pages(reader, within, limit)] == [row.id for row in rows]
        assert reader.count(within) == len(rows)

    def test_what_is_not_committed_is_not_read(
        self, harness: ReaderHarness, database: PaymentDatabase
    ) -> None:
        """A payment is read once its transaction is committed, and no earlier."""
        reader, start = harness.open_reader(), a_second()
        within = PaymentRange(start + MILLISECOND, start)
        with database.begin() as work:
            work.payments.add([written_at(start, a_payment(1).stated)])
            assert (reader.count(within), list(reader.read(within, 1))) == (0, [])
        assert reader.count(within) == len(reader.read(within, 1)) == 1

    def test_a_closed_reader_opens_again(self, harness: ReaderHarness) -> None:
        """A reader that was closed can be used again."""
        harness.open().connect()
        reader = harness.open_reader()
        for _ in range(2):
            assert reader.count(PaymentRange(a_second())) == 0
            reader.close()


def a_second() -> datetime:
    """A time of this example's own, up to the next second."""
    return datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=next(_seconds))


def written_at(instant: datetime, stated: NewPayment) -> Payment:
    milliseconds = (instant - UNIX_EPOCH) // MILLISECOND
    return Payment(PaymentIdGenerator(lambda: milliseconds).mint(7), stated)


def in_order(payments: list[Payment]) -> list[StoredPayment]:
    """The payments as they are read."""
    return [stored(payment) for payment in sorted(payments, key=lambda payment: payment.id.text)]


def stored(payment: Payment) -> StoredPayment:
    """What is read of a written payment."""
    stated = payment.stated
    return StoredPayment(
        payment.id,
        stated.account_id,
        stated.amount,
        stated.currency,
        stated.status,
        stated.type,
        stated.comment,
        stated.external_ref_id,
        payment.created_at,
        payment.version,
    )


def pages(reader: PaymentReader, within: PaymentRange, limit: int) -> Iterator[StoredPayment]:
    while page := reader.read(within, limit):
        assert len(page) <= limit
        yield from page
        within = within.rest(page[-1].id)
