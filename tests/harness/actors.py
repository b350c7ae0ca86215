"""Processes that move only when they are told to, so that any interleaving can be played."""

from __future__ import annotations

from collections.abc import Callable
from threading import Semaphore, Thread

from attrs import define, field

from voltpay_adapters.testing.faults import Crash, Fault, Faults

PAUSES = frozenset(
    {
        "before begin",
        "after commit",
        "before poll",
        *(
            f"{when} {what}"
            for when in ("before", "after")
            for what in ("seek_to_committed", "acknowledge", "publish", "wait")
        ),
        "halfway publish",
    }
)
"""The steps outside of transactions: SQLite has one at a time, so nobody is stopped within."""


@define(eq=False)
class Actor:
    """A process that runs from one pause to the next.

    Attributes:
        at: The step before which it stands.
        failure: What it ended in other than a crash: a bug.
    """

    _body: Callable[[Faults], object]
    at: str = field(default="start", init=False)
    alive: bool = field(default=True, init=False)
    failure: BaseException | None = field(default=None, init=False)
    _plan: dict[int, Fault] = field(factory=dict, init=False)
    _faults: Faults = field(init=False)
    _go: Semaphore = field(factory=lambda: Semaphore(0), init=False)
    _stopped: Semaphore = field(factory=lambda: Semaphore(0), init=False)
    _thread: Thread = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Stand before the first step."""
        self._faults = Faults(self._plan, each=self._pause)
        self._thread = Thread(target=self._live, daemon=True)
        self._thread.start()
        self._stopped.acquire()

    def advance(self, fault: Fault | None = None) -> None:
        """Pass this step, with that fault, and go on to the next pause."""
        if self.alive:
            if fault is not None:
                self._plan[len(self._faults.trace) - 1] = fault
            self._go.release()
            self._stopped.acquire()

    def kill(self, fault: Fault) -> None:
        """Die at this step."""
        self.advance(fault)
        self._thread.join(30)

    def _live(self) -> None:
        try:
            self._body(self._faults)
        except Crash:
            pass
        except BaseException as failure:  # noqa: BLE001 - the test tells of it
            self.failure = failure
        finally:
            self.alive = False
            self._stopped.release()

    def _pause(self, name: str) -> None:
        if name in PAUSES:
            self.at = name
            self._stopped.release()
            self._go.acquire()
