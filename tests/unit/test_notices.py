"""What the loop tells its observers: every step once, in order, with its time and true numbers."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TypeVar

import pytest
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import Patience, RunOptions, World

from voltpay_adapters.testing.faults import Faults, unavailable
from voltpay_core.errors import Unavailable
from voltpay_core.notices import (
    BatchDecoded,
    BatchDone,
    Idle,
    Notice,
    Polled,
    Published,
    RejectionsCounted,
    TakenOver,
    UnitCommitted,
    to_all,
)
from voltpay_core.outcomes import Tally
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Partition, Record

N = TypeVar("N")

REFUSED = 13


@pytest.fixture
def world() -> Iterator[World]:
    with closing(SqliteHarness()) as harness:
        yield filled(World(harness))


def filled(world: World) -> World:
    """Payments of two accounts, a duplicate, a warm-up and a poison, in two partitions."""
    for number, partition in ((1, 0), (2, 1), (3, 0), (1, 0)):
        status = Status.FAIL if number == 3 else Status.SUCCESS
        payment = NewPayment(f"m{number}", number, Decimal(1), "EUR", status, "VSA")
        value, key = world.codec.encode_payment(payment), str(number).encode()
        world.log.append(value, key=key, partition=partition)
    world.log.append(b"{}", key=None, partition=1)
    world.log.append(b"poison", key=b"1", partition=0)
    return world


def of(kind: type[N], told: Sequence[Notice]) -> list[N]:
    return [notice for notice in told if isinstance(notice, kind)]


def counted(told: Sequence[Notice]) -> Tally:
    """The tally that follows from the steps alone."""
    warm_ups = Tally(warm_ups=sum(each.warm_ups for each in of(BatchDecoded, told)))
    return sum((each.tally for each in of(UnitCommitted, told)), warm_ups)


def test_the_steps_of_a_batch_are_told_in_their_order(world: World) -> None:
    """Poll, decode, each commit unit, its events, the acknowledgement; then that it is idle."""
    told: list[Notice] = []
    way = RunOptions(commit_unit=2, overlap=0)
    world.process(way, notify=told.append).run(Patience(), until_drained=True)
    assert [type(notice) for notice in told] == [
        *(Idle, TakenOver, Polled, BatchDecoded, UnitCommitted, UnitCommitted),
        *(Published, Published, BatchDone, Idle),
    ]


def test_each_step_has_its_own_time(world: World) -> None:
    """A notice tells the seconds of its own step, and not those of its neighbours."""
    costs = {"poll": 1, "payments.add": 2, "wait": 4, "acknowledge": 8, "seek_to_committed": 16}
    clock = 0

    def tick(step: str) -> None:
        nonlocal clock
        clock += costs.get(step.removeprefix("before "), 0)

    told: list[Notice] = []
    faults, way = Faults(each=tick), RunOptions(overlap=0)
    process = world.process(way, faults=faults, notify=told.append, timer=lambda: clock)
    process.run(Patience(), until_drained=True)
    timed = TakenOver | Polled | BatchDecoded | UnitCommitted | Published | BatchDone
    assert [each.seconds for each in told if isinstance(each, timed)] == [16, 1, 0, 2, 4, 8]


def test_the_steps_add_up_to_the_tally() -> None:
    """Whatever fails, the units and the warm-ups that were told are those of the total."""

    def run(faults: Faults) -> tuple[Tally, Tally]:
        with closing(SqliteHarness()) as harness:
            world, told = filled(World(harness)), list[Notice]()
            process = world.process(RunOptions(batch_size=3), faults=faults, notify=told.append)
            total = process.run(Patience(), until_drained=True)
            return counted(told), total

    whole = Faults()
    assert run(whole) == (sunny := Tally(3, 1, 1, 1, 6), sunny)
    for step in range(len(whole.trace)):
        steps, total = run(Faults({step: unavailable}))
        assert steps == total


def test_every_event_is_told_once_it_is_acknowledged(world: World) -> None:
    """Without a failure, the events that were told are those that arrived, and none is a repeat."""
    told: list[Notice] = []
    process = world.process(RunOptions(batch_size=2), notify=told.append)
    process.run(Patience(), until_drained=True)
    published = of(Published, told)
    by_topic = sum((Counter(each.by_topic) for each in published), Counter[str]())
    assert by_topic == Counter(event.topic for event in world.published)
    assert not any(each.repeat for each in published)


def test_what_a_take_over_publishes_is_a_repeat(world: World) -> None:
    """The events of pending outbox rows are told as repeats, and only those."""
    rows = len(world.log.partitions)

    def fail_once(step: str) -> None:
        if step == "before publish" and faults.trace.count(step) == 1:
            unavailable()

    told: list[Notice] = []
    faults = Faults(each=fail_once)
    process = world.process(RunOptions(overlap=0), faults=faults, notify=told.append)
    process.run(Patience(), until_drained=True)
    assert [each.repeat for each in of(Published, told)] == [True] * rows
    assert of(TakenOver, told)[-1].republished == rows


def test_the_lag_is_known_by_partition_from_the_first_moment(world: World) -> None:
    """A partition of which nothing was polled counts with all that waits in it."""
    told: list[Notice] = []
    process = world.process(RunOptions(batch_size=1, overlap=0), notify=told.append)
    process.run(Patience(), max_records=1)
    waiting = {place: len(records) for place, records in world.log.partitions.items()}
    (polled,) = of(Polled, told)[0].records
    waiting[polled.partition] -= 1
    assert of(BatchDone, told)[0].lag_by_partition == waiting
    assert of(BatchDone, told)[0].lag == 5


def test_a_take_over_tells_the_node_id(world: World) -> None:
    """The node id that is told is the one of the payment ids."""
    told: list[Notice] = []
    world.process(RunOptions(), notify=told.append).run(Patience(), until_drained=True)
    (taken,) = of(TakenOver, told)
    assert {row.id[-3:] for row in world.tables().core} == {f"{taken.node_id:03}"}


def test_dead_letters_are_told_with_place_and_reason(world: World) -> None:
    """A committed unit names its dead letters, so that each can have a line in a log."""
    told: list[Notice] = []
    world.process(RunOptions(), notify=told.append).run(Patience(), until_drained=True)
    (letter,) = (each for unit in of(UnitCommitted, told) for each in unit.dead_letters)
    assert (letter.record.partition.number, letter.record.offset) == (0, 3)
    assert letter.reason.code == "bad-json"


def test_the_breaker_tells_how_near_it_is(world: World) -> None:
    """The rejections in a row are told when their number changes, with the limit."""
    world.harness.refuse(REFUSED)
    payment = NewPayment("r1", REFUSED, Decimal(1), "EUR", Status.FAIL, "VSA")
    told: list[Notice] = []
    process = world.process(RunOptions(breaker=3), notify=told.append)
    process.run(Patience(), until_drained=True)
    assert of(RejectionsCounted, told) == []
    world.log.append(world.codec.encode_payment(payment), key=b"%d" % REFUSED)
    process.run(Patience(), until_drained=True)
    for number in range(10, 13):
        new = NewPayment(f"m{number}", 1, Decimal(1), "EUR", Status.FAIL, "VSA")
        world.log.append(world.codec.encode_payment(new), key=b"1")
    process.run(Patience(), until_drained=True)
    assert of(RejectionsCounted, told) == [RejectionsCounted(1, 3), RejectionsCounted(0, 3)]


def test_a_halt_of_the_breaker_commits_nothing_and_tells_nothing(world: World) -> None:
    """The unit at which the breaker halts is not told as committed."""
    world.harness.refuse(1)
    told: list[Notice] = []
    with pytest.raises(Unavailable, match="SQLSTATE"):
        world.process(RunOptions(breaker=1), notify=told.append).run(Patience())
    assert of(UnitCommitted, told) == []


def test_polled_records_are_measured_and_not_shown() -> None:
    """A poll tells bytes and age by the timestamps that are there, and shows no content."""
    at = datetime(2026, 11, 28, tzinfo=UTC)
    place = Partition("t", 0)

    def record(age: float | None, key: bytes | None, value: bytes | None) -> Record:
        time = None if age is None else int((at - timedelta(seconds=age)).timestamp() * 1000)
        return Record(place, 0, time, key, value, (("h", b"secret"),))

    polled = Polled([record(2, b"12", b"secret"), record(9.5, None, b"12345")], at, 0.5)
    assert (polled.size, polled.oldest_age) == (13, 9.5)
    assert "secret" not in repr(polled)
    untimed = [record(None, None, None), Record(place, 1, -1, None, None)]
    assert Polled(untimed, at, 0).oldest_age is None
    assert Polled([record(-5, None, None)], at, 0).oldest_age == 0


def test_every_observer_hears_each_notice() -> None:
    """Several observers hang on one `notify`, and hear everything in their order."""
    told: list[tuple[str, Notice]] = []
    notify = to_all(lambda each: told.append(("a", each)), lambda each: told.append(("b", each)))
    notify(idle := Idle({}))
    assert told == [("a", idle), ("b", idle)]
