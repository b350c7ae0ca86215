"""Purging: bounded chunks, each its own transaction."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from datetime import timedelta
from typing import Any, Self

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.sqlite import SqliteHarness

from voltpay_core.errors import Misconfigured
from voltpay_core.ports import PurgeStep, UnitOfWork
from voltpay_core.purging import ClaimRetention, Purged, expired, purge

WEEK = timedelta(days=7)
ages = st.one_of(st.timedeltas(timedelta(0), timedelta(days=30)), st.just(timedelta.max))


@pytest.fixture
def harness() -> Iterator[SqliteHarness]:
    with closing(SqliteHarness()) as harness:
        with harness.open().begin() as work:
            work.idempotency.claim([f"old {number}" for number in range(10)])
        harness.age_claims(timedelta(days=8))
        with harness.open().begin() as work:
            work.idempotency.claim(["young"])
        yield harness


@pytest.mark.parametrize(
    ("chunk", "totals"),
    [(1, [*range(1, 11)]), (4, [4, 8, 10]), (5, [5, 10]), (100, [10])],
)
def test_all_that_is_old_goes_in_chunks(
    harness: SqliteHarness, chunk: int, totals: list[int]
) -> None:
    """A purge deletes everything that is old, in chunks, and tells the number after each."""
    begin = harness.open().begin
    assert expired(begin, WEEK) == 10
    told: list[int] = []
    assert purge(begin, WEEK, None, chunk=chunk, notify=told.append) == Purged(10, finished=True)
    assert told == totals
    assert expired(begin, WEEK) == 0
    assert harness.tables().claims == ("young",)


def test_a_stopped_purge_keeps_its_chunks(harness: SqliteHarness) -> None:
    """A purge can be stopped between chunks; deleted claims stay deleted."""
    answers = iter((False, False, True))
    begin = harness.open().begin
    stopped = purge(begin, WEEK, None, chunk=2, stop=lambda: next(answers))
    assert stopped == Purged(4, finished=False)
    assert expired(begin, WEEK) == 6
    assert purge(begin, WEEK, None, chunk=2).deleted == 6


@define
class Pages:
    """Claims on some pages, of which each step deletes one page; it notes where steps begin."""

    count: int
    starts: list[tuple[timedelta, int, int]] = field(factory=list)

    @property
    def idempotency(self) -> Self:
        return self

    def begin(self) -> AbstractContextManager[Any]:
        return nullcontext(self)

    def purge(self, older_than: timedelta, limit: int, start: int) -> PurgeStep:
        self.starts.append((older_than, limit, start))
        return PurgeStep(1, start + 1 if start + 1 < self.count else None)


@given(count=st.integers(1, 5), chunk=st.integers(1, 9))
def test_each_step_begins_where_the_last_one_ended(count: int, chunk: int) -> None:
    """A purge begins with the first page of the table, and reads each page once."""
    pages = Pages(count)
    assert purge(pages.begin, WEEK, None, chunk=chunk) == Purged(count, finished=True)
    assert pages.starts == [(WEEK, chunk, page) for page in range(count)]


@given(age=ages, input_topic=ages, replays=ages)
def test_claims_that_are_needed_stay(
    age: timedelta, input_topic: timedelta, replays: timedelta
) -> None:
    """A purge rejects an age at which the input topic or a replay may still need claims (G1)."""

    def begin() -> AbstractContextManager[UnitOfWork]:
        raise AssertionError("the database is reached")

    needed = ClaimRetention(input_topic, replays)
    with pytest.raises(Misconfigured if age < max(input_topic, replays) else AssertionError):
        purge(begin, age, needed)


@pytest.mark.parametrize(
    ("input_topic", "replays", "code", "told"),
    [
        (timedelta(hours=49), timedelta(0), "input", "keeps records for up to 49 hours,"),
        (timedelta(minutes=90), timedelta(days=9), "input", "keeps records for up to 1.5 hours,"),
        (timedelta.max, timedelta(0), "input", "keeps records for ever,"),
        (timedelta(0), timedelta(days=7), "replays", "can be replayed for up to 168 hours,"),
    ],
)
def test_who_needs_the_claims_is_told(
    input_topic: timedelta, replays: timedelta, code: str, told: str
) -> None:
    """A refusal says for how long the claims are needed, and its code what needs them."""
    with pytest.raises(Misconfigured) as caught:
        ClaimRetention(input_topic, replays).check(timedelta(hours=1))
    assert caught.value.code == f"claims-needed-by-{code}"
    assert told in str(caught.value)
