"""The consuming loop: the order of its steps, and its recovery."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import count

import pytest
from attrs import define, field
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import Patience, RunOptions, World

from voltpay_adapters.local.files import Acknowledged
from voltpay_adapters.testing.faults import Faults, unavailable
from voltpay_adapters.testing.memory import MemorySource
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.notices import BatchDone, Notice, TakenOver
from voltpay_core.payments import NewPayment, Status
from voltpay_core.ports import PollResult, Publication
from voltpay_core.records import Partition, ProducerRecord
from voltpay_core.relaying import OutboxRelay


@pytest.fixture
def world() -> Iterator[World]:
    with closing(SqliteHarness()) as harness:
        yield World(harness)


def fill(world: World, count: int, start: int = 0) -> None:
    for number in range(start, start + count):
        payment = NewPayment(f"m{number}", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
        world.log.append(world.codec.encode_payment(payment), key=b"1")


@pytest.mark.parametrize(("commit_unit", "units"), [(1, 4), (2, 2), (3, 2), (None, 1)])
def test_a_commit_unit_holds_so_many_accounts(commit_unit: int | None, units: int) -> None:
    """A batch is written in as many transactions as its accounts ask for."""
    faults = Faults()
    with closing(SqliteHarness()) as harness:
        world = World(harness)
        for number in range(8):
            new = NewPayment(f"m{number}", number % 4, Decimal(1), "EUR", Status.PENDING, "VSA")
            key = str(new.account_id).encode()
            world.log.append(world.codec.encode_payment(new), key=key)
        world.run(RunOptions(batch_size=100, commit_unit=commit_unit), faults)
        assert world.violations() == []
    assert faults.trace.count("before payments.add") == units


def test_a_take_over_reads_the_outbox_of_nobody_else(world: World) -> None:
    """The epochs are bumped before the outbox is read, so that no former owner can add to it."""
    faults = Faults()
    fill(world, 1)
    world.run(RunOptions(), faults)
    begun = faults.trace.index("before begin")
    steps = [step for step in faults.trace[begun:] if step.startswith("before")]
    assert steps[1:3] == ["before fence.bump_epochs", "before outbox.pending"]


def test_the_breaker_is_the_one_that_is_given(world: World) -> None:
    """A consumer halts at its own limit of rejections."""
    world.harness.refuse(1)
    fill(world, 3)
    process = world.process(RunOptions(breaker=2))
    with pytest.raises(Unavailable) as caught:
        process.run(Patience())
    assert caught.value.code == "breaker"


def test_a_drained_source_ends_a_run_only_where_that_is_asked(world: World) -> None:
    """Without `until_drained` a run waits for more, until it is stopped."""
    asked = []

    def stop() -> bool:
        asked.append(1)
        return len(asked) > 5

    world.process(RunOptions()).run(stop)
    assert len(asked) == 6


def source_of_one(world: World, count: int) -> tuple[MemorySource, Partition, Partition]:
    """A source with one of two partitions: its own with payments, the other with a warm-up."""
    fill(world, count)
    world.log.append(b"{}", key=None, partition=1)
    kept, other = sorted(world.log.partitions)
    source = MemorySource(world.log)
    source.assign([kept])
    return source, kept, other


@define
class Waiting(MemorySource):
    """A source that settles before it loses a partition, which happens in its fourth poll."""

    settle: Callable[[], None] = field(default=lambda: None, init=False)
    polls: int = field(default=0, init=False)

    def on_revoke(self, settle: Callable[[], None]) -> None:
        self.settle = settle

    def poll(self, limit: int) -> PollResult:
        self.polls += 1
        if self.polls == 4:
            self.settle()
            self.assign(())
        return super().poll(limit)


def test_the_next_owner_has_nothing_to_do_again(world: World) -> None:
    """What was written before a partition moves is published, acknowledged and deleted."""
    fill(world, 4)
    source = Waiting(world.log)
    source.assign(world.log.partitions)
    way = RunOptions(batch_size=2, overlap=1, late_events=True)
    process = world.process(way, source=source)
    process.run(lambda: source.polls == 4)
    assert process.total.written == 2
    assert [*world.log.acknowledged.values()] == [2]
    assert world.harness.tables().outbox == ()
    assert len(world.published) == 4


def steps(count: int, way: RunOptions) -> list[str]:
    """The steps of a run with this number of records and without a fault."""
    with closing(SqliteHarness()) as harness:
        faults = Faults()
        world = World(harness)
        fill(world, count)
        world.run(way, faults)
        return faults.trace


def test_a_sunny_day_goes_in_this_order() -> None:
    """Fence, claim, write and outbox in one transaction; then publish, wait, acknowledge."""
    trace = [
        step.removeprefix("before ") for step in steps(1, RunOptions()) if step[:6] == "before"
    ]
    assert trace[trace.index("fence.hold") - 1 :] == [
        *("begin", "fence.hold", "outbox.delete", "idempotency.claim", "payments.add"),
        *("outbox.put", "commit", "publish", "poll", "wait", "acknowledge"),
        *("begin", "outbox.delete", "commit"),
    ]


def test_without_overlap_a_batch_is_acknowledged_before_the_next_poll() -> None:
    """Without overlap, the events of a batch are waited for before anything else is done."""
    trace = steps(4, RunOptions(batch_size=2, overlap=0))
    waits = [
        step for step in trace if step in {"before publish", "after acknowledge", "before poll"}
    ]
    work = waits[waits.index("before publish") :]
    assert work[:4] == ["before publish", "after acknowledge", "before poll", "before publish"]


@pytest.mark.parametrize("failing", ["acknowledge", "poll"])
def test_what_is_published_is_not_published_again(world: World, failing: str) -> None:
    """A take-over by the process that has published the events publishes nothing."""
    trace = steps(6, RunOptions(batch_size=2))
    step = trace.index(f"before {failing}", trace.index("after wait"))
    fill(world, 6)
    world.run(RunOptions(batch_size=2), Faults({step: unavailable}))
    assert len(world.published) == len(set(world.published)) == 12
    assert world.violations() == []


def test_only_so_many_records(world: World) -> None:
    """A bounded run acknowledges exactly its number of records, whatever the batch size."""
    fill(world, 10)
    process = world.process(RunOptions(batch_size=4))
    assert process.run(Patience(), max_records=7).records == 7
    assert sum(world.log.acknowledged.values()) == 7


def test_a_run_can_follow_another(world: World) -> None:
    """Each run has its own limit and end; the total counts all runs."""
    fill(world, 5)
    process = world.process(RunOptions(batch_size=4))
    process.run(Patience(), max_records=2)
    process.run(Patience(), max_records=1)
    assert sum(world.log.acknowledged.values()) == 3
    assert process.run(Patience(), until_drained=True).records == 5
    fill(world, 2, start=5)
    assert process.run(Patience(), until_drained=True).records == 7


def test_a_stop_finishes_the_batch(world: World) -> None:
    """A stop finishes the batches: written, published, acknowledged, outbox rows deleted."""
    fill(world, 10)
    turns = iter((False, False, False, True))
    world.process(RunOptions(batch_size=4)).run(lambda: next(turns))
    assert sum(world.log.acknowledged.values()) == 8
    assert len(world.tables().core) == 8
    assert world.tables().outbox == ()


def test_a_halt_is_not_retried(world: World) -> None:
    """A failure with `halt` is not retried, and nothing is acknowledged."""
    fill(world, 1)

    def halt() -> None:
        raise Unavailable("no such column", halt=True)

    step = steps(1, RunOptions()).index("before payments.add")
    with pytest.raises(Unavailable, match="no such column"):
        world.run(RunOptions(), Faults({step: halt}))
    assert world.log.acknowledged == {}
    assert world.tables().core == ()


def test_an_empty_topic_is_drained(world: World) -> None:
    """Without records the run ends, and writes nothing."""
    assert world.run(RunOptions()).records == 0
    assert world.tables().core == ()


def milestones(told: Sequence[Notice]) -> list[type[Notice]]:
    """The kinds of the notices about whole batches and the ownership of partitions."""
    return [type(each) for each in told if isinstance(each, BatchDone | Fenced | TakenOver)]


def test_notices_tell_of_batches_and_take_overs(world: World) -> None:
    """Each batch and each take-over is notified, with the total so far and the lag."""
    fill(world, 5)
    told: list[Notice] = []
    process = world.process(RunOptions(batch_size=2), notify=told.append)
    process.run(Patience(), until_drained=True)
    assert milestones(told) == [TakenOver, BatchDone, BatchDone, BatchDone]
    batches = [notice for notice in told if isinstance(notice, BatchDone)]
    assert [batch.total.written for batch in batches] == [2, 4, 5]
    assert [batch.lag for batch in batches] == [1, 0, 0]  # of what is polled by now


def test_notices_tell_why_partitions_are_taken_over_again(world: World) -> None:
    """A bumped epoch is notified before the next take-over."""
    fill(world, 2)
    told: list[Notice] = []
    process = world.process(RunOptions(batch_size=1), notify=told.append)
    process.run(Patience(), max_records=1)
    with world.harness.open().begin() as work:
        work.fence.bump_epochs(sorted(world.log.partitions))
    process.run(Patience(), until_drained=True)
    assert milestones(told) == [TakenOver, BatchDone, Fenced, TakenOver, BatchDone]
    (fenced,) = (notice for notice in told if isinstance(notice, Fenced))
    assert "another process has bumped their epochs" in str(fenced)


def test_a_kept_partition_costs_nothing(world: World) -> None:
    """A rebalance takes over only newly assigned partitions; kept ones keep their epochs."""
    source, kept, assigned = source_of_one(world, 2)
    process = world.process(RunOptions(), source=source)
    process.run(Patience(), max_records=2)
    source.assign([kept, assigned])
    process.run(Patience(), max_records=1)
    fence = world.tables().fence
    assert {place: row.epoch for place, row in fence.items()} == {kept: 1, assigned: 1}


def test_what_is_revoked_is_not_acknowledged(world: World) -> None:
    """Of a batch in hand only what is still owned is acknowledged, and nobody is fenced."""
    fill(world, 2)
    world.log.append(b"poison", key=None, partition=1)
    kept, revoked = sorted(world.log.partitions)
    source = MemorySource(world.log)
    source.assign([kept, revoked])
    notices: list[Notice] = []
    process = world.process(RunOptions(), source=source, notify=notices.append)
    turns = count()

    def stop() -> bool:
        turn = next(turns)
        if turn == 2:
            assert len(world.published) == 5, "the batch is not in hand"
            source.assign([kept])
        return turn == 3

    process.run(stop)
    assert world.log.acknowledged == {kept: 2}
    assert milestones(notices) == [TakenOver, BatchDone]


def test_what_is_kept_is_read_on_while_another_is_taken_over(world: World) -> None:
    """A take-over of what is assigned passes over no record of what is kept."""
    source, kept, assigned = source_of_one(world, 6)
    process = world.process(RunOptions(batch_size=1), source=source)
    process.run(Patience(), max_records=1)
    source.assign([kept, assigned])
    assert process.run(Patience(), until_drained=True).written == 6
    assert world.violations() == []


def test_what_is_revoked_before_it_is_taken_over_is_nothing(world: World) -> None:
    """A partition that comes and goes at once is neither taken over nor missed."""
    fill(world, 1)
    source = MemorySource(world.log)
    source.assign(world.log.partitions)
    turns = iter((False, True, False, True))
    process = world.process(RunOptions(), source=source)
    process.run(lambda: next(turns))
    source.assign([])
    process.run(lambda: next(turns))
    assert world.tables().fence == {}


def test_any_rebalance_explains_a_fence(world: World) -> None:
    """Fences with a rebalance in between, be it of gains or of losses alone, halt nobody."""
    source, kept, other = source_of_one(world, 12)
    process = world.process(RunOptions(batch_size=1), source=source)
    for number in range(10):
        process.run(Patience(), max_records=1)
        source.assign([kept, other] if number % 2 else [kept])
        with world.harness.open().begin() as work:
            work.fence.bump_epochs([kept])
    assert process.run(Patience(), until_drained=True).written == 12


def test_what_a_take_over_could_not_publish_is_not_acknowledged() -> None:
    """If the events in hand are lost while another partition is taken over, the outbox has them."""

    def run(faults: Faults) -> list[str]:
        with closing(SqliteHarness()) as harness:
            world = World(harness)
            fill(world, 3)
            world.log.append(b"poison", key=None, partition=1)
            kept, assigned = sorted(world.log.partitions)
            source = MemorySource(world.log)
            source.assign([kept])
            turns = count()

            def stop() -> bool:
                turn = next(turns)
                if turn == 3:
                    source.assign([kept, assigned])
                return turn == 8

            way = RunOptions(batch_size=1, late_events=True)
            world.process(way, source=source, faults=faults).run(stop)
            return world.violations()

    whole = Faults()
    assert run(whole) == []
    waits = [index for index, step in enumerate(whole.trace) if step == "before wait"]
    assert len(waits) == 4
    assert [run(Faults({index: unavailable})) for index in waits] == [[]] * 4


# The relay


@define
class Failing:
    """A publisher that fails as planned, and records its calls."""

    fails: Sequence[bool]
    asked: list[str] = field(factory=list)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        self.asked.append(f"publish {len(self.asked)}")
        return _Failing() if self.fails[len(self.asked) - 1] else Acknowledged()

    def reset(self) -> None:
        self.asked.append("reset")

    def close(self) -> None:
        self.asked.append("close")


class _Failing:
    def wait(self) -> None:
        raise Unavailable("refused")


def test_nothing_overtakes_what_failed() -> None:
    """Records sent after a failed publication are dropped before anything is sent again."""
    publisher = Failing([False, True, False])
    relay = OutboxRelay(publisher)
    for row in range(3):
        relay.publish([], frozenset({row}))
    relay.settle()
    assert relay.published == {0}
    assert publisher.asked == ["publish 0", "publish 1", "publish 2", "reset"]
    relay.wait()
    relay.settle()
    assert relay.published == {0}
    assert publisher.asked[3:] == ["reset"], "a publisher is reset once for each failure"


def test_a_publisher_that_rejects_everything_is_reset() -> None:
    """If events cannot even be sent, the publisher is reset, though nothing is in flight."""

    class Broken(Failing):
        def publish(self, events: Sequence[ProducerRecord]) -> Publication:
            if "reset" not in self.asked:
                raise Unavailable("it has failed, and stays failed")
            return super().publish(events)

    relay = OutboxRelay(Broken([False] * 3))
    with pytest.raises(Unavailable):
        relay.publish([], frozenset({1}))
    relay.settle()
    relay.publish([], frozenset({1}))
    relay.wait()
    assert relay.published == {1}


def test_rows_are_done_with_when_acknowledged() -> None:
    """A row counts as published when its events are acknowledged, not when they are sent."""
    relay = OutboxRelay(Failing([False]))
    relay.publish([], frozenset({1}))
    assert relay.published == frozenset()
    relay.wait()
    assert relay.published == {1}
    relay.forget_published()
    assert relay.published == frozenset()
