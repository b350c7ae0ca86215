"""Members of a group: processes, each with a source that a rebalance assigns partitions to."""

from __future__ import annotations

from contextlib import closing

from attrs import define
from tests.harness.actors import Actor
from tests.harness.world import RunOptions, World

from voltpay_adapters.testing.faults import Faults, crash
from voltpay_adapters.testing.memory import MemorySource

ENDLESS = 5000
"""More pauses than any work here takes."""


@define(eq=False)
class Member:
    """A process that moves when it is told to."""

    source: MemorySource
    actor: Actor

    @classmethod
    def join(cls, world: World, way: RunOptions) -> Member:
        """Start one, with a connection of its own and no partitions yet."""
        source = MemorySource(world.log)

        def live(faults: Faults) -> None:
            with closing(world.harness.open()) as database:
                process = world.process(way, source=source, faults=faults, database=database)
                process.run(lambda: False)

        return cls(source, Actor(live))

    def advance_to(self, *pauses: str, at_most: int = 60) -> None:
        """Go on until it stands at one of these, if it ever does."""
        for _ in range(at_most):
            self.actor.advance()
            if self.actor.at in pauses:
                break

    def end(self, world: World) -> None:
        """Go on until all of the world's work is done."""
        for _ in range(ENDLESS):
            self.actor.advance()
            if self.actor.at == "before poll" and world.is_done():
                break

    def kill(self) -> None:
        """Die where it stands."""
        self.actor.kill(crash)
