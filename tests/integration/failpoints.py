"""`voltpay`, but something happens at one step: `-m tests.integration.failpoints consume`."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import partial

from tests.support.faults import Faults, FaultyPublisher, FaultySource, faulty_begin

from voltpay_cli import wiring
from voltpay_cli.main import main
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, MessageSource


class Failpoint(Faults):
    """Lets something happen once the steps of a way are done, one after the other.

    The plan is the way and what happens at its end, as in
    ``2 after acknowledge, after commit = kill``: the steps of `tests.support.faults`, some of them
    several times.
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


def decorate(faults: Faults) -> None:
    """Put the failpoint around every adapter that the wiring joins."""
    open_database = wiring._open_database

    def open_faultily(*arguments: object) -> BeginUnitOfWork:
        return faulty_begin(open_database(*arguments), faults)

    def consumer(
        *, source: MessageSource, publisher: EventPublisher, **others: object
    ) -> PaymentConsumer:
        return PaymentConsumer(
            source=FaultySource(source, faults),
            publisher=FaultyPublisher(publisher, faults),
            **others,
        )

    open_events = wiring._open_kafka_events

    def replayer(*arguments: object) -> EventPublisher:
        return FaultyPublisher(open_events(*arguments), faults)

    wiring._open_database = open_faultily
    wiring.PaymentConsumer = consumer
    if "replay" in sys.argv:
        wiring._open_kafka_events = replayer


def set_clock(ahead: timedelta) -> None:
    """Let the process believe that it is later, by so much."""
    milliseconds = wiring._milliseconds
    wiring._milliseconds = lambda: milliseconds() + int(ahead.total_seconds() * 1000)
    wiring._now = lambda: datetime.now(UTC) + ahead
    wiring.PostgresDatabase = partial(wiring.PostgresDatabase, now=wiring._now)


if __name__ == "__main__":
    if plan := os.environ.pop("VOLTPAY_TEST_FAILPOINT", None):
        decorate(Failpoint(plan))
    if ahead := os.environ.pop("VOLTPAY_TEST_CLOCK", None):
        set_clock(timedelta(seconds=float(ahead)))
    main()
