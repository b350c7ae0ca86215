"""Fences in a row: which are normal, and which mean a writer of another group."""

from collections.abc import Callable, Collection
from contextlib import closing
from decimal import Decimal
from typing import TypeVar

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import RunOptions, World

from voltpay_adapters.testing.memory import MemoryLog, MemorySource
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.fencing import FencingGuard
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Partition

T = TypeVar("T")
PLACE = Partition("payments", 0)
RAISED = Fenced({PLACE}, "raised", code="epoch-bumped")
MOVED = Fenced({PLACE}, "moved")


def fill(world: World, log: MemoryLog, count: int) -> None:
    for number in range(count):
        payment = NewPayment(f"m{number}", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
        log.append(world.codec.encode_payment(payment), key=b"1")


def consumer(world: World, log: MemoryLog) -> PaymentConsumer:
    source = MemorySource(log)
    source.assign(log.partitions)
    return world.process(RunOptions(batch_size=1), source=source)


@given(st.lists(st.sampled_from(("raised", "moved", "finished", "rebalance"))))
def test_only_fences_without_a_rebalance_halt(history: list[str]) -> None:
    """It halts exactly when the epochs were bumped `limit` times since the last rebalance."""
    guard, raised = FencingGuard(limit=3), 0
    for what in history:
        match what:
            case "rebalance":
                guard, raised = guard.rebalanced(), 0
            case "finished":
                guard = guard.turn_finished()
            case _:
                fence = RAISED if what == "raised" else MOVED
                guard, raised = guard.fenced(fence), raised + (what == "raised")
                assert halts(guard, fence) == (raised >= 3)


def alternate(*consumers: PaymentConsumer) -> None:
    for _ in range(30):
        for each in consumers:
            each.run(lambda: False, max_records=1)


def halts(guard: FencingGuard, fence: Fenced) -> bool:
    try:
        guard.check(fence)
    except Unavailable as failure:
        return failure.halt
    return False


@pytest.mark.parametrize("limit", [2, 5])
def test_the_limit_of_raised_epochs_halts(limit: int) -> None:
    """One fence below the limit waits, and the limit halts and names some of the partitions."""
    fence = Fenced([Partition("in", number) for number in range(10)], "x", code="epoch-bumped")
    guard = FencingGuard(limit).fenced(fence).rebalanced()
    for count in range(1, limit):
        guard = guard.fenced(fence)
        assert halts(guard, fence) is False, count
    with pytest.raises(Unavailable) as caught:
        guard.fenced(fence).check(fence)
    assert (caught.value.halt, caught.value.code) == (True, "another-writer")
    names = ", ".join(f"in-{number}" for number in range(8))
    assert f"partitions {limit} times ({names} and 2 more) without a rebalance" in str(caught.value)
    assert caught.value.__cause__ is fence


def test_the_first_fence_costs_no_wait_and_the_second_does() -> None:
    """A member that comes back takes over at once; one that is fenced again waits first."""
    once = FencingGuard().fenced(MOVED)
    once.check(MOVED)
    with pytest.raises(Unavailable) as failure:
        once.fenced(MOVED).check(MOVED)
    assert (failure.value.halt, failure.value.code) == (False, "fenced")
    assert (str(failure.value), failure.value.__cause__) == (str(MOVED), MOVED)
    once.turn_finished().fenced(MOVED).check(MOVED)


def test_two_groups_on_one_database_stop_loudly() -> None:
    """Two writers that take the same partitions from each other stop, and nothing is lost."""
    with closing(SqliteHarness()) as harness:
        world = World(harness)
        mine, theirs = world.log, MemoryLog(world.log.topic)
        for log in (mine, theirs):
            fill(world, log, 30)
        first, second = consumer(world, mine), consumer(world, theirs)
        with pytest.raises(
            Unavailable, match="another consumer group writes this topic"
        ) as failure:
            alternate(first, second)
        assert (failure.value.halt, failure.value.code) == (True, "another-writer")
        consumer(world, mine).run(lambda: False, until_drained=True)
        assert world.violations() == []


@define
class Unsettled(MemorySource):
    """A source whose group rebalances whenever its offsets are read."""

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        raise Fenced(partitions, "the group is rebalancing")


def test_a_take_over_that_never_ends_is_bounded_by_the_retry_policy() -> None:
    """Each fence after the first is a failed attempt of the retry policy, which waits and ends."""
    attempts = 0

    def three_attempts(act: Callable[[], T]) -> T:
        nonlocal attempts
        while True:
            try:
                return act()
            except Unavailable:
                attempts += 1
                if attempts == 3:
                    raise

    with closing(SqliteHarness()) as harness:
        world = World(harness)
        fill(world, world.log, 1)
        source = Unsettled(world.log)
        source.assign(world.log.partitions)
        process = world.process(RunOptions(), source=source, retry=three_attempts)
        with pytest.raises(Unavailable, match="the group is rebalancing"):
            process.run(lambda: False)
        assert world.log.acknowledged == {}
