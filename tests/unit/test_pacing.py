"""The pace of records: a rate that no second exceeds, and waits that end."""

from collections.abc import Sequence

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.pace import Time
from tests.unit.test_memory import MemoryGroup

from voltpay_adapters.testing.contracts.source import SourceContract
from voltpay_adapters.testing.memory import MemoryLog, MemorySource
from voltpay_core.pacing import Pace, PacedSource
from voltpay_core.ports import MessageSource, PollResult


@define
class PacedGroup(MemoryGroup):
    """Members whose sources are paced."""

    def open(self) -> MessageSource:  # type: ignore[override]
        return PacedSource(super().open(), Time().pace(2))

    def close(self, source: MessageSource) -> None:
        assert isinstance(source, PacedSource)
        super().close(source._source)


class TestPacedSource(SourceContract):
    @pytest.fixture
    def harness(self) -> PacedGroup:
        return PacedGroup()


def paced(records: int, pace: Pace) -> PacedSource:
    """A source of so many records, which may be polled."""
    log = MemoryLog()
    for _ in range(records):
        log.append(b"{}", key=None)
    source = MemorySource(log)
    source.assign(log.partitions)
    found = PacedSource(source, pace)
    found.seek_to_committed(found.poll(0).assigned)
    return found


@given(
    rate=st.integers(1, 50),
    polls=st.lists(st.tuples(st.integers(0, 100), st.floats(0, 3)), min_size=1, max_size=30),
)
def test_no_time_gives_more_records_than_the_rate(
    rate: int, polls: Sequence[tuple[int, float]]
) -> None:
    """In each span of time come at most its seconds times the rate, and one portion of a second."""
    time = Time()
    source, seen = paced(1000, time.pace(rate)), []
    for limit, work in polls:
        count = len(source.poll(limit).records)
        assert count <= min(limit, rate)
        seen.append((time.now, count))
        time.now += work
    for first, (begin, _) in enumerate(seen):
        for last, (end, _) in enumerate(seen[first:], first):
            passed = sum(count for _, count in seen[first : last + 1])
            assert passed <= (end - begin) * rate + rate + 1e-6
    assert all(0 < wait <= 1 + 1e-9 for wait in time.waits)


@given(rate=st.integers(1, 50), limits=st.lists(st.integers(1, 100), min_size=30, max_size=50))
def test_the_rate_is_reached(rate: int, limits: Sequence[int]) -> None:
    """Somebody who only polls gets as many records as the rate allows."""
    time = Time()
    source, began = paced(10_000, time.pace(rate)), time.now
    total = sum(len(source.poll(limit).records) for limit in limits)
    source.poll(1)
    assert total == pytest.approx((time.now - began) * rate)


def test_time_that_passes_is_not_saved_up() -> None:
    """After a pause of any length one portion comes at once, and the next one a second later."""
    time = Time()
    source = paced(1000, time.pace(10))
    time.now += 3600
    counts = [len(source.poll(100).records) for _ in range(3)]
    assert counts == [10, 10, 10]
    assert time.waits == [1, 1]


def test_a_poll_for_no_records_does_not_wait() -> None:
    """`poll(0)` keeps the member in its group, and does so at once."""
    time = Time()
    source = paced(100, time.pace(1))
    source.poll(1)
    assert not source.poll(0).records
    assert time.waits == []


def test_a_stop_ends_the_wait_and_nothing_more_is_read() -> None:
    """If the work must stop during a wait, the poll returns no records."""
    time = Time()
    source = paced(100, time.pace(1))
    source.poll(1)
    time.stopped = True
    assert source.poll(1) == PollResult()
