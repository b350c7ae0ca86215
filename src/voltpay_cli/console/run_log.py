"""What the log says of a run: its start, take-overs, idle times, outages and dead letters."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import asdict, define, field, frozen
from typed_settings.dict_utils import get_path

from voltpay_cli.console.letter_log import SECONDS, LetterLog
from voltpay_cli.console.lines import about, event, version
from voltpay_cli.settings import OPTIONS, Settings
from voltpay_cli.settings.masking import plain
from voltpay_core.errors import Fenced
from voltpay_core.notices import (
    BatchDone,
    Idle,
    Notice,
    Observer,
    Retrying,
    TakenOver,
    UnitCommitted,
)

log = logging.getLogger("voltpay")

EVERY = 60.0
"""Seconds between two lines that say that nothing has changed."""


@contextmanager
def run_log(settings: Settings) -> Iterator[Observer]:
    """Log the start of a run, and give the observer that logs the rest.

    Raises:
        Misconfigured: A setting is missing.
    """
    log_start(settings)
    observer = RunLog()
    try:
        yield observer
    finally:
        observer.finish()


def log_start(settings: Settings) -> None:
    """Log the version, what is used, and what differs from the defaults, without secrets.

    Raises:
        Misconfigured: A setting is missing.
    """
    settings.required("source", "store", "events")
    changed = _changed(settings)
    named = {
        "node_id": settings.node_id,
        "group": settings.group,
        "source": plain(settings.source),
        "store": plain(settings.store),
        "events": plain(settings.events_url),
    }
    others = {name: value for name, value in changed.items() if name not in named}
    log.info(
        "voltpay %s starts: %s",
        version(),
        ", ".join(f"{name} {value}" for name, value in (named | others).items()),
        extra=event("started", **named, settings=others),
    )


@frozen
class _Outage:
    since: float
    logged: float


@define
class RunLog:
    """An observer that logs.

    Attributes:
        timer: Seconds of a clock that never goes back.
    """

    _timer: Callable[[], float] = time.monotonic
    _node_id: int | None = field(default=None, init=False)
    _quiet_since: float = field(init=False)
    _idle_logged: float = field(init=False)
    _outage: _Outage | None = field(default=None, init=False)
    _letters: LetterLog = field(factory=LetterLog, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count the time."""
        self._quiet_since = self._idle_logged = self._timer()

    def __call__(self, notice: Notice) -> None:
        """Log what a notice says, or nothing."""
        now = self._timer()
        match notice:
            case UnitCommitted() if notice.tally.dead_letters:
                for letter in notice.dead_letters:
                    self._letters.add(letter, now)
            case BatchDone():
                self._quiet_since = self._idle_logged = now
                self._end_outage(now)
            case Idle():
                self._end_outage(now)
                self._log_idle(notice, now)
            case Retrying():
                self._log_outage(notice, now)
            case TakenOver():
                self._log_take_over(notice)
            case Fenced():
                log.info("%s", notice, extra=event("fenced", code=notice.code))
        self._letters.log_left_out(now - SECONDS)

    def finish(self) -> None:
        """Log how many dead letters had no line of their own."""
        self._letters.log_left_out(self._timer())

    def _log_idle(self, idle: Idle, now: float) -> None:
        if now - self._idle_logged < EVERY:
            return
        self._idle_logged, seconds = now, now - self._quiet_since
        extra = event("idle", seconds=seconds, lag=idle.lag)
        log.info("idle for %.0f s; lag %d", seconds, idle.lag, extra=extra)

    def _log_outage(self, retrying: Retrying, now: float) -> None:
        """Log how long an outage lasts; the retry policy logs each retry."""
        outage = self._outage or _Outage(now, now)
        if now - outage.logged >= EVERY:
            seconds = now - outage.since
            extra = event("outage", seconds=seconds, code=retrying.failure.code)
            log.warning("outage for %.0f s: %s", seconds, retrying.failure, extra=extra)
            outage = _Outage(outage.since, now)
        self._outage = outage

    def _end_outage(self, now: float) -> None:
        if self._outage:
            seconds, self._outage = now - self._outage.since, None
            extra = event("outage-ended", seconds=seconds)
            log.info("the outage ended after %.0f s", seconds, extra=extra)

    def _log_take_over(self, notice: TakenOver) -> None:
        if notice.node_id != self._node_id:
            about.node_id = self._node_id = notice.node_id
            log.info("this process has node id %d", notice.node_id, extra=event("node-id"))
        partitions = sorted(map(str, notice.partitions))
        extra = event("took-over", partitions=partitions, seconds=notice.seconds)
        log.info("%s", notice, extra=extra)
        if notice.republished:
            log.warning(
                "published the events of %d outbox rows again",
                notice.republished,
                extra=event("republished", rows=notice.republished),
            )


def _changed(settings: Settings) -> Mapping[str, object]:
    """The settings that differ from their defaults, by their dotted names."""
    found, defaults = asdict(settings), asdict(Settings())
    return {
        option.path: plain(value, secret=option.is_secret)
        for option in OPTIONS
        if (value := get_path(found, option.path)) != get_path(defaults, option.path)
    }
