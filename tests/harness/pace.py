"""Time that passes where somebody waits."""

from __future__ import annotations

from attrs import define, field

from voltpay_core.pacing import Pace


@define
class Time:
    """A clock that goes on where somebody waits, and a stop flag."""

    now: float = 100.0
    stopped: bool = False
    waits: list[float] = field(factory=list)

    def clock(self) -> float:
        return self.now

    def wait(self, seconds: float) -> bool:
        self.waits.append(seconds)
        if not self.stopped:
            self.now += seconds
        return self.stopped

    def pace(self, rate: int) -> Pace:
        return Pace(rate, self.wait, self.clock)
