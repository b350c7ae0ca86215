"""The stop flag: SIGTERM, SIGINT and a time limit raise it; a second signal aborts."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Event, Timer
from types import FrameType

from attrs import define, field

from voltpay_cli.console.lines import tell_at_once
from voltpay_cli.exit_codes import ExitCode


@define
class StopFlag:
    """Whether to stop: batches check it, and retries wait for it.

    Attributes:
        flag: Set by the first signal, or by the time limit.
        timed_out: Whether the time limit has set it.
        abort: Called when a second signal ends this process at once.
        doing: What happens after the first signal, in words.
    """

    flag: Event = field(factory=Event)
    timed_out: bool = False
    abort: Callable[[], None] = lambda: None
    doing: str = "finishing the batch"

    def __call__(self) -> bool:
        """Whether to stop."""
        return self.flag.is_set()

    def _time_out(self) -> None:
        self.timed_out = True
        self.flag.set()

    def _signalled(self, number: int, _: FrameType | None) -> None:
        if self.flag.is_set() and not self.timed_out:
            self.abort()
            os._exit(ExitCode.STOPPED)  # whatever is half done, the next start takes over (G2)
        self.timed_out = False
        self.flag.set()
        name = signal.Signals(number).name
        with suppress(OSError):
            tell_at_once("stopping", f"{name}: {self.doing}; again to abort")


@contextmanager
def stop_on_signals(
    time_limit: float | None = None, doing: str = "finishing the batch"
) -> Iterator[StopFlag]:
    """Set the flag at a signal, or after a limit in seconds."""
    stop = StopFlag(doing=doing)
    before = {number: signal.signal(number, stop._signalled) for number in _SIGNALS}
    timer = Timer(time_limit or 0, stop._time_out)
    timer.daemon = True
    try:
        if time_limit is not None:
            timer.start()
        yield stop
    finally:
        timer.cancel()
        for number, handler in before.items():
            signal.signal(number, handler)


_SIGNALS = (signal.SIGTERM, signal.SIGINT)
