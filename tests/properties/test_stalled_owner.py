"""A former owner that stalls anywhere, wakes anywhere on the way of the new one, and dies."""

from pathlib import Path

import pytest
from tests.harness.histories import good
from tests.harness.members import Member
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import RunOptions, World

WAY = RunOptions(batch_size=1, late_events=True)
HISTORY = (good(1, "a"), good(1, "b"), good(1, "c"))
STALLS = range(4, 20)
"""From its first batch in hand to its second one acknowledged, in pauses."""
WAKES = range(24)
"""From the rebalance to the second batch of the new owner, in pauses."""


@pytest.mark.parametrize("stall", STALLS)
def test_a_stalled_owner_harms_nothing(tmp_path: Path, stall: int) -> None:
    """It commits nothing after a take-over, and its committed events are published in order."""
    for wake in WAKES:
        world = World(SqliteHarness(str(tmp_path / f"{wake}.db"), durable=False))
        world.produce(HISTORY)
        former, owner = Member.join(world, WAY), Member.join(world, WAY)
        former.source.assign(world.log.partitions)
        for _ in range(stall):
            former.actor.advance()
        former.source.assign([])
        owner.source.assign(world.log.partitions)
        world.incidents += 1
        for _ in range(wake):
            owner.actor.advance()
        former.advance_to("after commit", "before poll")
        former.kill()
        world.incidents += 1
        owner.end(world)
        owner.kill()
        assert owner.actor.failure is former.actor.failure is None
        assert world.violations() == [], (wake, former.actor.at)
        world.harness.close()
