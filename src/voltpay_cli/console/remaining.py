"""The progress of a run whose number of records is known, such as that of a file."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from attrs import frozen

from voltpay_core.notices import BatchDone

_LONGEST = 10**9  # seconds, far below what a timedelta can hold


@frozen
class Remaining:
    """What is left of a run.

    Attributes:
        percent: The share of its records that are done, rounded down.
        time: The time that the other records need at the same rate.
    """

    percent: int
    time: timedelta

    @classmethod
    def after(cls, done: BatchDone, seconds: float) -> Self:
        """What is left after a batch, `seconds` after the run began."""
        finished, left = done.total.records, done.lag
        percent = 100 * finished // max(finished + left, 1)
        time = min(seconds * left / max(finished, 1), _LONGEST)
        return cls(percent, timedelta(seconds=round(time)))

    @property
    def words(self) -> str:
        """Both in words."""
        return f"{self.percent} %, {self.time}"
