"""Answers "how is it?": what a snapshot, the rate and the dead letters tell a person."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

from attrs import define, field, frozen

from voltpay_adapters.checking import Finding
from voltpay_adapters.snapshots import GroupState, Rate, Snapshot, problems, rate
from voltpay_cli.operations import take_snapshot
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.replaying import DeadLetter

MOST_LETTERS = 20_000
"""Dead letters that are read, at most: the newest of each partition."""
RATE_SECONDS = 1.0
"""Seconds between two readings of the offsets, from which the rate is computed."""


@frozen
class Report:
    """The answer.

    Attributes:
        problems: What a person should do something about.
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
    """Makes one report after the other; dead letters are read again when their number changes."""

    _wiring: Wiring
    _before: GroupState | None = field(default=None, init=False)
    _letters: tuple[int, tuple[DeadLetter, ...]] = field(default=(0, ()), init=False)

    def reports(self, pause: Callable[[float], object]) -> Iterator[Report]:
        """Make a report whenever the next one is asked for.

        Args:
            pause: Waits a number of seconds.

        Raises:
            Misconfigured: A setting cannot work.
        """
        if read := self._wiring.group_reader():
            try:
                self._before = read()
            except (Misconfigured, Unavailable):
                pass  # the snapshot tells of it
            else:
                pause(RATE_SECONDS)
        while True:
            yield self._report()

    def _report(self) -> Report:
        snapshot = take_snapshot(self._wiring)
        claims_kept = timedelta(days=self._wiring.settings.limits.claims_days)
        found = problems(snapshot, claims_kept)
        before, after = self._before, snapshot.group
        self._before = after if isinstance(after, GroupState) else None
        try:
            letters = self._newest_letters(snapshot.dead_letters)
        except (Misconfigured, Unavailable) as failure:
            letters = ()
            found.append(Finding("dead-letters", failure))
        known = rate(before, self._before) if before and self._before else None
        return Report(snapshot, found, known, letters)

    def _newest_letters(self, retained: object) -> tuple[DeadLetter, ...]:
        if not isinstance(retained, int):
            return ()
        if retained != self._letters[0]:
            letters = tuple(self._wiring.newest_dead_letters(MOST_LETTERS))
            self._letters = retained, letters
        return self._letters[1]
