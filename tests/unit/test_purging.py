"""Purging: bounded chunks, each its own transaction."""

from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta

import pytest
from tests.support.sqlite import SqliteHarness

from voltpay_core.purging import expired, purge

WEEK = timedelta(days=7)


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
    ("chunk", "chunks"), [(1, [1] * 10 + [0]), (4, [4, 4, 2]), (5, [5, 5, 0]), (100, [10])]
)
def test_all_that_is_old_goes_in_chunks(
    harness: SqliteHarness, chunk: int, chunks: list[int]
) -> None:
    """A purge ends with the first chunk that is not full, and takes what was announced."""
    begin = harness.open().begin
    assert expired(begin, WEEK) == 10
    assert list(purge(begin, WEEK, chunk=chunk, stop=lambda: False)) == chunks
    assert expired(begin, WEEK) == 0
    assert harness.tables().claims == ("young",)


def test_a_stopped_purge_keeps_its_chunks(harness: SqliteHarness) -> None:
    """Between chunks it can be stopped; what is deleted stays so, and the next run goes on."""
    answers = iter((False, False, True))
    begin = harness.open().begin
    assert list(purge(begin, WEEK, chunk=2, stop=lambda: next(answers))) == [2, 2]
    assert expired(begin, WEEK) == 6
    assert sum(purge(begin, WEEK, chunk=2, stop=lambda: False)) == 6
