"""Subscriptions: batches come at least once, and a service handles each event once."""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import timedelta
from decimal import Decimal
from itertools import islice
from typing import TypeVar

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.seen_events import SeenEvents
from voltpay_adapters.testing.faults import Fault, Faults, FaultySource, unavailable
from voltpay_adapters.testing.memory import MemoryLog, MemorySource
from voltpay_core.codec import Codec
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.events import ReadEvent
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.ports import MessageSource, PollResult
from voltpay_core.records import Partition, Record
from voltpay_core.subscribing import Batch, Subscription

T = TypeVar("T")
TOPIC = "payment_read_topic"
ids = PaymentIdGenerator(lambda: 1_709_208_000_005)


def filled(count: int) -> MemoryLog:
    """A read topic of two partitions with that number of events."""
    log = MemoryLog(TOPIC)
    for number in range(count):
        payment = NewPayment(f"m-{number}", number % 2, Decimal(1), "EUR", Status.PENDING, "VSA")
        record = Record(Partition("payments", number % 2), number, 0, b"1", b"")
        (event,) = Codec().events(Written(record, Payment(ids.mint(1), payment)))
        log.append(event.value, key=event.key, partition=number % 2, headers=event.headers)
    return log


def member(log: MemoryLog) -> MemorySource:
    source = MemorySource(log)
    source.assign(log.partitions)
    return source


def retry(act: Callable[[], T]) -> T:
    for _ in range(50):
        try:
            return act()
        except Unavailable:
            continue
    raise AssertionError("it does not recover")


def subscribed(source: MessageSource, limit: int = 3) -> Subscription[ReadEvent]:
    return Subscription(
        source, ReadEvent.decode, retry, lambda: False, limit=limit, until_drained=True
    )


def message_ids(batches: Iterator[Batch[ReadEvent]]) -> Iterator[str]:
    for batch in batches:
        yield from (event.message_id for event in batch.events)
        batch.acknowledge()


@given(
    count=st.integers(0, 12),
    plan=st.dictionaries(st.integers(0, 30), st.sampled_from((unavailable,)), max_size=3),
)
def test_every_event_comes_in_order_whatever_fails(count: int, plan: dict[int, Fault]) -> None:
    """All events of a partition come in order, and are repeated only after a failure."""
    log = filled(count)
    found = list(message_ids(iter(subscribed(FaultySource(member(log), Faults(plan))))))
    for number in range(2):
        wanted = [f"m-{n}" for n in range(number, count, 2)]
        of_partition = [each for each in found if each in wanted]
        assert list(dict.fromkeys(of_partition)) == wanted
    assert len(found) == count or plan
    assert sum(log.acknowledged.values()) == count


def test_what_is_not_acknowledged_comes_again() -> None:
    """A batch that is not acknowledged comes again, to this subscription and to the next."""
    log = filled(4)
    batches = iter(subscribed(member(log), limit=2))
    first, again = islice(batches, 2)
    assert first.events == again.events
    assert log.acknowledged == {}
    again.acknowledge()
    (rest,) = islice(batches, 1)
    assert rest.events != first.events
    assert list(message_ids(iter(subscribed(member(log))))) == [e.message_id for e in rest.events]


def test_what_is_no_event_is_set_apart() -> None:
    """A record that cannot be decoded comes with its reason and does not stop the others."""
    log = filled(1)
    log.append(b"no event", key=b"1")
    log.append(None, key=b"1")
    (batch,) = islice(iter(subscribed(member(log))), 1)
    assert [event.message_id for event in batch.events] == ["m-0"]
    assert [rejected.record.offset for rejected in batch.rejected] == [1, 2]
    batch.acknowledge()
    assert sum(log.acknowledged.values()) == 3


def test_a_partition_that_moves_away_is_left_to_its_new_owner() -> None:
    """An acknowledgement after a rebalance is no error: the new owner gets the events again."""
    log = filled(4)
    source = member(log)
    batches = iter(subscribed(source, limit=2))
    (batch,) = islice(batches, 1)
    source.assign([])
    batch.acknowledge()
    assert log.acknowledged == {}
    assert sorted(message_ids(iter(subscribed(member(log))))) == ["m-0", "m-1", "m-2", "m-3"]


def test_an_unsettled_group_is_retried() -> None:
    """A rebalance in the middle of a poll is an outage for the retry policy."""

    def rebalancing() -> None:
        raise Fenced((), "the group is rebalancing")

    log = filled(2)
    faults = Faults({1: rebalancing})
    assert sorted(message_ids(iter(subscribed(FaultySource(member(log), faults))))) == [
        "m-0",
        "m-1",
    ]


A, B, C = (Partition(TOPIC, number) for number in range(3))


@define
class Scripted:
    """A source that polls what it is told, and notes what is asked of it."""

    script: Sequence[PollResult | Exception]
    refusals: Sequence[Exception] = ()
    calls: list[tuple[str, object]] = field(factory=list)
    _polls: Iterator[PollResult | Exception] = field(init=False)
    _refusals: Iterator[Exception] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._polls, self._refusals = iter(self.script), iter(self.refusals)

    def poll(self, limit: int) -> PollResult:
        found = next(self._polls, PollResult([], {})) if limit else PollResult([], {})
        if isinstance(found, Exception):
            raise found
        return found

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Nobody waits."""

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        self.calls.append(("seek", frozenset(partitions)))

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        self.calls.append(("acknowledge", dict(positions)))
        if (refusal := next(self._refusals, None)) is not None:
            raise refusal

    def drained(self) -> bool:
        self.calls.append(("drained", None))
        return True

    def lag(self) -> dict[Partition, int]:
        return {}

    def close(self) -> None:
        """Nothing is open."""


def polled(
    *of: Partition, assigned: Collection[Partition] = (), revoked: Collection[Partition] = ()
) -> PollResult:
    """A record of each partition, beside what a rebalance has done."""
    records = [Record(partition, 0, 0, b"1", b"no event") for partition in of]
    return PollResult(records, dict.fromkeys(of, 1), frozenset(assigned), frozenset(revoked))


END = [("drained", None)]


@pytest.mark.parametrize(
    ("script", "refusals", "acknowledges", "calls"),
    [
        ([], [], False, END),
        # what is assigned is sought before anything else, also where the source seems drained
        ([polled(assigned=[A, B])], [], False, [("seek", {A, B}), *END]),
        # what is not acknowledged is sought, beside what was assigned with it
        (
            [polled(assigned=[A]), polled(A, assigned=[B])],
            [],
            False,
            [("seek", {A}), ("seek", {A, B}), *END],
        ),
        # what has moved away is not
        ([polled(assigned=[A]), polled(A, revoked=[A])], [], False, [("seek", {A}), *END]),
        (
            [polled(assigned=[A, B]), polled(A, B, revoked=[A])],
            [],
            False,
            [("seek", {A, B}), ("seek", {B}), *END],
        ),
        # positions without a record are acknowledged
        (
            [polled(assigned=[A]), PollResult([], {A: 7})],
            [],
            False,
            [("seek", {A}), ("acknowledge", {A: 7}), *END],
        ),
        # a failed poll puts everything in doubt
        *(
            (
                [polled(assigned=[A, B]), polled(B), failure, polled(A)],
                [],
                True,
                [
                    ("seek", {A, B}),
                    ("acknowledge", {B: 1}),
                    ("seek", {A, B}),
                    ("acknowledge", {A: 1}),
                    *END,
                ],
            )
            for failure in (Unavailable("x"), Fenced({A}, "the group is rebalancing"))
        ),
        # an acknowledgement is tried again, unless the partitions have another owner
        (
            [polled(assigned=[A]), polled(A)],
            [Unavailable("x"), Unavailable("x")],
            True,
            [("seek", {A}), *[("acknowledge", {A: 1})] * 3, *END],
        ),
        (
            [polled(assigned=[A]), polled(A, assigned=[B])],
            [Fenced({A, C}, "moved")],
            True,
            [("seek", {A}), ("acknowledge", {A: 1}), ("seek", {A, B}), *END],
        ),
    ],
)
def test_what_a_subscription_asks_of_its_source(
    script: Sequence[PollResult | Exception],
    refusals: Sequence[Exception],
    acknowledges: bool,
    calls: Sequence[tuple[str, object]],
) -> None:
    """Exactly what is in doubt is sought before the next poll; what is handled is acknowledged."""
    source = Scripted(script, refusals)
    for batch in subscribed(source):
        assert not batch.acknowledged
        if acknowledges:
            batch.acknowledge()
            assert batch.acknowledged
    assert source.calls == calls


def test_a_fence_in_a_poll_is_told_in_its_own_words() -> None:
    """The retry policy sees an outage that says what the fence said, and comes from it."""
    fence = Fenced({A}, "the group is rebalancing")

    def once(act: Callable[[], T]) -> T:
        return act()

    subscription = Subscription(Scripted([fence]), ReadEvent.decode, once, lambda: False)
    with pytest.raises(Unavailable) as caught:
        next(iter(subscription))
    assert (str(caught.value), caught.value.__cause__) == (str(fence), fence)


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(1, 4))
def test_a_repeat_is_not_new(numbers: list[int], commit_every: int) -> None:
    """Each event is new once, also across transactions, and a rollback forgets what it noted."""
    log = filled(6)
    events = [ReadEvent.decode(record) for records in log.partitions.values() for record in records]
    with closing(sqlite3.connect(":memory:")) as database:
        seen = SeenEvents(database)
        seen.create_table()
        new = []
        for number in numbers:
            with database:
                new += seen.new([events[number], events[number]])
        assert new == [events[number] for number in dict.fromkeys(numbers)]
        seen.new(events)
        database.rollback()
        assert len(seen.new(events)) == 6 - len(set(numbers))


def test_old_ids_are_purged() -> None:
    """A purge deletes the ids that are older than its age, and no others."""
    now = 1000.0
    events = [ReadEvent.decode(r) for rs in filled(2).partitions.values() for r in rs]
    with closing(sqlite3.connect(":memory:")) as database:
        seen = SeenEvents(database, lambda: now)
        seen.create_table()
        seen.new(events[:1])
        now = 1010.0
        seen.new(events[1:])
        assert seen.purge(timedelta(seconds=10)) == 0
        now = 1011.0
        assert seen.purge(timedelta(seconds=10)) == 1
        assert seen.new(events) == events[:1]
