"""Consumers that share a topic and a database while partitions move, and owners stall and wake."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from tests.harness import strategies
from tests.harness.members import Member
from tests.harness.sqlite import SqliteHarness
from tests.harness.strategies import PARTITIONS, REFUSED, TOPIC
from tests.harness.world import RunOptions, World

from voltpay_adapters.testing.faults import unavailable
from voltpay_core.records import Partition, Record

STALLS = ("before poll", "before begin", "after commit", "before wait", "before acknowledge")
ALL = [Partition(TOPIC, number) for number in range(PARTITIONS)]
ways = st.builds(
    RunOptions,
    batch_size=st.sampled_from((1, 3, 5)),
    commit_unit=strategies.commit_units,
    late_events=st.booleans(),
)
records = st.lists(
    st.one_of(
        strategies.payment_records(refused=True),
        strategies.payment_records(refused=True),
        strategies.payment_records(refused=True),
        strategies.poison_records(),
        strategies.warm_up_records,
    ),
    min_size=1,
    max_size=8,
)


class Consumers(RuleBasedStateMachine):
    """Everything that may happen to a group."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(mkdtemp())
        self.harness = SqliteHarness(str(self.folder / "voltpay.db"), durable=False)
        self.world = World(self.harness, refused=frozenset({REFUSED}))
        self.members: list[Member] = []

    @initialize(history=records, way=ways)
    def begin(self, history: list[Record], way: RunOptions) -> None:
        self.world.produce(history)
        self.join(way)
        self.members[0].source.assign(ALL)

    @precondition(lambda self: len(self.members) < 3)
    @rule(way=ways)
    def join(self, way: RunOptions) -> None:
        self.members.append(Member.join(self.world, way))

    @rule(history=records)
    def produce(self, history: list[Record]) -> None:
        self.world.produce(history)

    @precondition(lambda self: self.members)
    @rule(data=st.data(), steps=st.integers(1, 40))
    def go_on(self, data: st.DataObject, steps: int) -> None:
        """One of them goes on while all others stall wherever they are."""
        member = data.draw(st.sampled_from(self.members))
        for _ in range(steps):
            member.actor.advance()
        assert member.actor.failure is None

    @precondition(lambda self: self.members)
    @rule(data=st.data(), place=st.sampled_from(STALLS))
    def go_on_to(self, data: st.DataObject, place: str) -> None:
        """One of them goes on until it stands there, if it ever does."""
        member = data.draw(st.sampled_from(self.members))
        member.advance_to(place)
        assert member.actor.failure is None

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def rebalance(self, data: st.DataObject) -> None:
        """Partitions move; former owners learn of it at their next poll."""
        self.world.incidents += 1
        owners = [data.draw(st.sampled_from(self.members)) for _ in ALL]
        for member in self.members:
            member.source.assign(
                [place for place, owner in zip(ALL, owners, strict=True) if owner is member]
            )

    @precondition(lambda self: self.members)
    @rule(data=st.data())
    def fail(self, data: st.DataObject) -> None:
        """The next call of one of them fails."""
        data.draw(st.sampled_from(self.members)).actor.advance(unavailable)

    @precondition(lambda self: len(self.members) > 1)
    @rule(data=st.data())
    def kill(self, data: st.DataObject) -> None:
        """One of them dies, and its partitions go to another."""
        self.world.incidents += 1
        member = data.draw(st.sampled_from(self.members))
        member.kill()
        self.members.remove(member)
        heir = self.members[0].source
        heir.assign({*heir.owned, *member.source.owned})

    @invariant()
    def nothing_is_wrong_so_far(self) -> None:
        assert self.world.violations(finished=False) == []

    def teardown(self) -> None:
        """The survivor takes over all partitions and finishes the work alone."""
        try:
            self.end()
        finally:
            for member in self.members:
                member.kill()
            self.harness.close()
            shutil.rmtree(self.folder)

    def end(self) -> None:
        if not self.members:
            return
        survivor, *others = self.members
        for member in others:
            member.kill()
        self.world.incidents += 1
        survivor.source.assign(ALL)
        survivor.end(self.world)
        assert not [member.actor.failure for member in self.members if member.actor.failure]
        assert self.world.violations() == []


def test_consumers_that_come_and_go_lose_and_double_nothing() -> None:
    """After any moves, stalls, failures and deaths, each record has one outcome, in order."""
    examples = max(20, settings.default.max_examples)  # type: ignore[union-attr]
    search: Any = settings(max_examples=examples, stateful_step_count=40)
    run_state_machine_as_test(Consumers, settings=search)
