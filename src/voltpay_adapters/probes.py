"""Whether a writer is alive and ready, for the probes of a supervisor such as Kubernetes."""

from __future__ import annotations

import time
from collections.abc import Callable

from attrs import define, field

from voltpay_core.notices import BatchDone, Idle, Notice, Polled, Retrying, TakenOver

STALLED = 120.0
"""Seconds without any notice, after which a writer counts as dead. A retry is a notice."""

SPARE = 15.0
"""Seconds of idle polls after which a member without a partition is ready: a group gives none to
more members than partitions."""


@define
class Probes:
    """An observer that knows what to answer.

    Attributes:
        timer: Seconds of a clock that never goes back.
    """

    _timer: Callable[[], float] = time.monotonic
    _ticked: float = field(init=False)
    _joined: bool = field(default=False, init=False)
    _spare_since: float | None = field(default=None, init=False)
    _outage: tuple[str, float] | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count the time."""
        self._ticked = self._timer()

    def __call__(self, notice: Notice) -> None:
        """Learn from a notice."""
        self._ticked = now = self._timer()
        match notice:
            case Retrying():
                since = self._outage[1] if self._outage else now
                self._outage = (notice.failure.code, since)
                self._spare_since = None
            case TakenOver():
                self._joined, self._outage = True, None
            case Polled() | BatchDone():
                self._outage = None
            case Idle():
                self._outage = None
                self._spare_since = now if self._spare_since is None else self._spare_since

    def why_dead(self) -> str | None:
        """Why the writer should be restarted; None while it works, waits or retries."""
        silent = self._timer() - self._ticked
        return f"nothing has happened for {silent:.0f} s" if silent > STALLED else None

    def why_not_ready(self) -> str | None:
        """Why the writer does not work: its group is not joined, or there is an outage."""
        now, outage, spare_since = self._timer(), self._outage, self._spare_since
        if outage:
            code, since = outage
            return f"an outage for {now - since:.0f} s: {code}"
        if self._joined or (spare_since is not None and now - spare_since >= SPARE):
            return None
        return "no partition is taken over yet"
