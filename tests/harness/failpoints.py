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

import voltpay_cli.wiring
from voltpay_adapters.testing.faults import (
    Faults,
    FaultyDatabase,
    FaultyPublisher,
    FaultySource,
    faulty_begin,
)
from voltpay_cli.app import main
from voltpay_cli.settings import Settings
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, MessageSource, PaymentDatabase

wiring: Any = voltpay_cli.wiring  # the names in it are replaced


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


def decorate(faults: Faults) -> None:
    """Put the failpoint around every adapter that is assembled."""
    assemble: Callable[..., AbstractContextManager[PaymentConsumer]] = wiring.payment_writer
    database, input_publisher = wiring.database, wiring.input_publisher

    def assemble_faultily(
        *, source: MessageSource, store: PaymentDatabase, events: EventPublisher, **others: Any
    ) -> AbstractContextManager[PaymentConsumer]:
        return assemble(
            source=FaultySource(source, faults),
            store=FaultyDatabase(store, faults),
            events=FaultyPublisher(events, faults),
            **others,
        )

    @contextmanager
    def faulty_input_publisher(settings: Settings) -> Iterator[EventPublisher]:
        with input_publisher(settings) as publisher:
            yield FaultyPublisher(publisher, faults)

    @contextmanager
    def faulty_database(settings: Settings) -> Iterator[BeginUnitOfWork]:
        with database(settings) as begin:
            yield faulty_begin(begin, faults)

    wiring.payment_writer = assemble_faultily
    if "purge" in sys.argv:
        wiring.database = faulty_database
    if "replay" in sys.argv:
        wiring.input_publisher = faulty_input_publisher


def set_clock(ahead: timedelta) -> None:
    """Let the process believe that it is later, by so much."""

    def now() -> datetime:
        return datetime.now(UTC) + ahead

    wiring.payment_writer = partial(wiring.payment_writer, now=now)
    wiring.PostgresDatabase = partial(wiring.PostgresDatabase, now=now)


if __name__ == "__main__":
    if plan := os.environ.pop("VOLTPAY_TEST_FAILPOINT", None):
        decorate(Failpoint(plan))
    if ahead := os.environ.pop("VOLTPAY_TEST_CLOCK", None):
        set_clock(timedelta(seconds=float(ahead)))
    main()
