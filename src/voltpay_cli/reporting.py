"""Makes the report of `voltpay status` from a snapshot, the rate and the dead letters."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from attrs import define, evolve, field, frozen

from voltpay_adapters.findings import Finding
from voltpay_adapters.snapshots import GroupState, Rate, Snapshot, attempt, problems, rate
from voltpay_cli.snapshots import group_reader, newest_dead_letters, take_snapshot
from voltpay_cli.wiring import Wiring
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.errors import Misconfigured, Unavailable

MOST_LETTERS = 20_000
"""Dead letters that are read, at most: the newest of each partition."""
RATE_SECONDS = 1.0
"""Seconds between two readings of the offsets, from which the rate is computed."""


@frozen
class Report:
    """A report.

    Attributes:
        problems: Findings that a person should act on.
        rate: None if payments do not come from Kafka, or it cannot be read.
        letters: The newest dead letters.
    """

    snapshot: Snapshot
    problems: list[Finding]
    rate: Rate | None
    letters: tuple[DeadLetter, ...]

    @property
    def unanswered(self) -> list[Misconfigured | Unavailable]:
        """The failures, if no part of the system has answered; otherwise none."""
        parts = (self.snapshot.group, self.snapshot.store, self.snapshot.dead_letters)
        failures = [part for part in parts if isinstance(part, Misconfigured | Unavailable)]
        return failures if len(failures) == sum(part is not None for part in parts) else []


@define
class Reporter:
    """Makes one report after the other; dead letters are read again when their number changes.

    Attributes:
        pause: Waits a number of seconds.
    """

    _wiring: Wiring
    _pause: Callable[[float], object]
    _before: GroupState | None = field(default=None, init=False)
    _letters: tuple[int, tuple[DeadLetter, ...]] = field(default=(0, ()), init=False)

    def report(self) -> Report:
        """Look at the system; the first time twice at the group, so that there is a rate.

        Raises:
            Misconfigured: A setting cannot work.
        """
        snapshot, before = take_snapshot(self._wiring), self._before
        if before is None and isinstance(snapshot.group, GroupState):
            before, read = snapshot.group, group_reader(self._wiring)
            self._pause(RATE_SECONDS)
            snapshot = evolve(snapshot, group=attempt(read) if read else None)
        after = self._before = snapshot.group if isinstance(snapshot.group, GroupState) else None
        found = problems(snapshot, timedelta(days=self._wiring.settings.limits.claims_days))
        letters = attempt(partial(self._newest_letters, snapshot.dead_letters))
        if not isinstance(letters, tuple):
            found.append(Finding("dead-letters", letters))
            letters = ()
        return Report(snapshot, found, rate(before, after) if before and after else None, letters)

    def _newest_letters(self, retained: object) -> tuple[DeadLetter, ...]:
        if not isinstance(retained, int):
            return ()
        if retained != self._letters[0]:
            letters = tuple(newest_dead_letters(self._wiring, MOST_LETTERS))
            self._letters = retained, letters
        return self._letters[1]
