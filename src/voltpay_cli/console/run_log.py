"""What the log says of a run: its start, take-overs, idle times, outages and dead letters."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from attrs import asdict, define, field, frozen
from typed_settings.dict_utils import get_path

from voltpay_cli.console.lines import about, event, version
from voltpay_cli.settings import OPTIONS, Settings
from voltpay_cli.settings.converters import plain
from voltpay_core.codec import attempts
from voltpay_core.dead_letters import correlation_id, trace_id
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
from voltpay_core.outcomes import DeadLettered

log = logging.getLogger("voltpay")

EVERY = 60.0
"""Seconds between two lines that say that nothing has changed."""

LETTERS = 10
"""Lines for dead letters of one code within these seconds, at most."""


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
class _Letters:
    """The dead letters of one code: when the last lines were, and how many had none."""

    shown: deque[float] = field(factory=lambda: deque(maxlen=LETTERS))
    left_out: int = 0
    since: float = 0.0


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
    _letters: dict[str, _Letters] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count the time."""
        self._quiet_since = self._idle_logged = self._timer()

    def __call__(self, notice: Notice) -> None:
        """Log what a notice says, or nothing."""
        now = self._timer()
        match notice:
            case UnitCommitted() if notice.tally.dead_letters:
                for letter in notice.dead_letters:
                    self._log_letter(letter, now)
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
        self._log_left_out(now - EVERY)

    def finish(self) -> None:
        """Log how many dead letters had no line of their own."""
        self._log_left_out(self._timer())

    def _log_letter(self, letter: DeadLettered, now: float) -> None:
        record, reason = letter.record, letter.reason
        letters = self._letters.setdefault(reason.code, _Letters())
        if len(letters.shown) == LETTERS and now - letters.shown[0] < EVERY:
            letters.since = letters.since if letters.left_out else now
            letters.left_out += 1
            return
        letters.shown.append(now)
        fields = {
            "place": f"{record.partition}@{record.offset}",
            "code": reason.code,
            "sqlstate": reason.sqlstate,
            "attempt": attempts(record.headers) + 1,
            "trace_id": trace_id(record.headers),
            "correlation_id": correlation_id(record.headers),
        }
        known = [f"{name} {value}" for name, value in fields.items() if value is not None]
        words = ", ".join(known[1:])
        log.warning(
            "dead letter %s: %s", fields["place"], words, extra=event("dead-letter", **fields)
        )

    def _log_left_out(self, until: float) -> None:
        """Log the number of letters without a line, for each code since that time or before."""
        for code, letters in self._letters.items():
            if letters.left_out and letters.since <= until:
                log.warning(
                    "%d more dead letters with the code %s",
                    letters.left_out,
                    code,
                    extra=event("dead-letters-left-out", code=code, count=letters.left_out),
                )
                letters.left_out = 0

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
