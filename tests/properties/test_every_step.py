"""A small history, with a fault at each step of its way in turn."""

from collections.abc import Sequence
from functools import cache

import pytest
from tests.harness.histories import HISTORY
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import RunOptions, World
from tests.properties.core import a_world, substance

from voltpay_adapters.testing.faults import Fault, Faults, crash, unavailable
from voltpay_core.records import Record

WAYS = {
    "account by account": RunOptions(batch_size=4, commit_unit=1),
    "batch by batch": RunOptions(batch_size=4),
    "all at once": RunOptions(),
    "acknowledged late": RunOptions(batch_size=4, commit_unit=1, late_events=True),
}


def a_run(way: RunOptions, plan: dict[int, Fault], history: Sequence[Record] = HISTORY) -> World:
    world = a_world(SqliteHarness, history)
    world.run(way, Faults(plan))
    return world


@cache
def steps(name: str) -> Sequence[str]:
    """The steps of the way on which nothing fails."""
    faults = Faults()
    world = a_world(SqliteHarness, HISTORY)
    world.run(WAYS[name], faults)
    world.harness.close()
    return faults.trace


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("fault", [crash, unavailable])
def test_one_fault_at_any_step_changes_nothing(name: str, fault: Fault) -> None:
    """One crash or outage at any step leads to the same result as no fault."""
    sunny = a_run(WAYS[name], {})
    assert sunny.violations() == []
    for step, what in enumerate(steps(name)):
        world = a_run(WAYS[name], {step: fault})
        assert world.incidents == 1, what
        assert world.violations() == [], what
        assert substance(world.tables()) == substance(sunny.tables()), what
        world.harness.close()
    sunny.harness.close()


@pytest.mark.parametrize("later", [1, 2, 3, 5, 9])
def test_two_faults_at_any_steps_change_nothing(later: int) -> None:
    """A second fault during the recovery from the first loses and doubles nothing."""
    name = "acknowledged late"
    for step, what in enumerate(steps(name)):
        world = a_run(WAYS[name], {step: unavailable, step + later: unavailable})
        assert world.violations() == [], what
        world.harness.close()
