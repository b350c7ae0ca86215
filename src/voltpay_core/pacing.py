"""Bounds the number of records that pass in a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping

from attrs import define, field, frozen

from voltpay_core.ports import MessageSource, PollResult
from voltpay_core.records import Partition


@define
class Pace:
    """Lets at most `rate` records pass in a second, in portions of at most one second's records.

    Therefore no wait is longer than a second.

    Attributes:
        rate: Records a second.
        wait: Waits for this number of seconds, or returns true earlier if the work must stop, as
            `threading.Event.wait` does.
        clock: Seconds that always increase.
    """

    rate: int
    _wait: Callable[[float], bool]
    _clock: Callable[[], float] = time.monotonic
    _free_at: float = field(default=0.0, init=False)

    def pause(self) -> bool:
        """Wait until the next portion may pass, and return whether the work must stop."""
        early = self._free_at - self._clock()
        stopped = early > 0 and self._wait(early)
        self._free_at = self._clock()
        return stopped

    def passed(self, count: int) -> None:
        """Count these records, at most `rate`, since the last `pause`."""
        self._free_at += count / self.rate


@frozen
class PacedSource:
    """A `MessageSource` whose polls wait, so that it returns no more records than the pace allows.

    A wait is at most a second, so the member stays in its group.
    """

    _source: MessageSource
    _pace: Pace

    def poll(self, limit: int) -> PollResult:
        """The next records, after a wait; `poll(0)` does not wait."""
        if limit == 0:
            return self._source.poll(0)
        if self._pace.pause():
            return PollResult()
        polled = self._source.poll(min(limit, self._pace.rate))
        self._pace.passed(len(polled.records))
        return polled

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Have polls of the source call `settle`."""
        self._source.on_revoke(settle)

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue at the committed offsets."""
        self._source.seek_to_committed(partitions)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit these offsets."""
        self._source.acknowledge(positions)

    def drained(self) -> bool:
        """Whether the source is drained."""
        return self._source.drained()

    def lag(self) -> Mapping[Partition, int]:
        """The lag of the source, by partition."""
        return self._source.lag()

    def close(self) -> None:
        """Close the source."""
        self._source.close()
