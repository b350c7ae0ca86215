"""`voltpay` with a failpoint at one step: `python -m tests.harness.failpoints consume`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from attrs import define
from tests.harness import released

from voltpay_adapters.testing.faults import (
    Faults,
    FaultyDatabase,
    FaultyPublisher,
    FaultySource,
    faulty_begin,
)
from voltpay_cli.app import main
from voltpay_cli.wiring import Wiring
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, MessageSource, PaymentDatabase


class Failpoint(Faults):
    """Lets something happen once the steps of a way are done, one after the other.

    The plan is the way and what happens at its end, as in
    ``2 after acknowledge, after commit = kill``: the steps of
    `voltpay_adapters.testing.faults`, some of them several times.
    """

    def __init__(self, plan: str) -> None:
        super().__init__()
        way, _, deed = plan.rpartition(" = ")
        self._way = list(_steps(way))
        self._deed = _deed(deed)

    def step(self, name: str, but_first: Callable[[], object] = lambda: None) -> None:
        """Go on along the way."""
        if self._way and name == self._way[0]:
            del self._way[0]
            if not self._way:
                but_first()
                print("failpoint:", name, file=sys.stderr, flush=True)
                self._deed()


def _steps(way: str) -> Iterator[str]:
    for part in way.split(", "):
        count, _, name = part.partition(" ")
        yield from [name] * int(count) if count.isdigit() else [part]


def _deed(deed: str) -> Callable[[], None]:
    name, _, argument = deed.partition(" ")
    match name:
        case "kill":
            return partial(os.kill, os.getpid(), signal.SIGKILL)
        case "suspend":
            return partial(os.kill, os.getpid(), signal.SIGSTOP)
        case "sleep":
            return partial(time.sleep, float(argument))
        case "fail":
            return _fail
    raise ValueError(f"no such deed: {deed}")


def _fail() -> None:
    raise Unavailable("the world fails here")


@define(kw_only=True)
class FaultyWiring(Wiring):
    """Puts a failpoint around every adapter.

    Attributes:
        faults: What happens at which step.
    """

    faults: Faults

    def assemble(
        self, source: MessageSource, store: PaymentDatabase, events: EventPublisher, *others: Any
    ) -> AbstractContextManager[PaymentConsumer]:
        return super().assemble(
            FaultySource(source, self.faults),
            FaultyDatabase(store, self.faults),
            FaultyPublisher(events, self.faults),
            *others,
        )

    @contextmanager
    def database(self) -> Iterator[BeginUnitOfWork]:
        with super().database() as begin:
            yield faulty_begin(begin, self.faults)

    @contextmanager
    def input_publisher(self) -> Iterator[EventPublisher]:
        with super().input_publisher() as publisher:
            yield FaultyPublisher(publisher, self.faults)


if __name__ == "__main__":
    plan = os.environ.pop("VOLTPAY_TEST_FAILPOINT", None)
    ahead = timedelta(seconds=float(os.environ.pop("VOLTPAY_TEST_CLOCK", "0")))
    if os.environ.pop("VOLTPAY_TEST_RELEASED", None):
        released.install()
    wire = partial(FaultyWiring, faults=Failpoint(plan)) if plan else Wiring
    main(partial(wire, now=lambda: datetime.now(UTC) + ahead))
