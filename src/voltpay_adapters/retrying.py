"""Retry policy: exponential backoff with jitter, for every call that is retried."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING, Any, TypeVar

from attrs import frozen

from voltpay_core.errors import Unavailable
from voltpay_core.notices import Observer, Retrying, ignore
from voltpay_core.ports import Retry

if TYPE_CHECKING:
    from tenacity import RetryCallState

T = TypeVar("T")

log = logging.getLogger("voltpay")


def backoff(
    seconds: float,
    stop: Event,
    *,
    longest: float = 10.0,
    notify: Observer = ignore,
    timer: Callable[[], float] = time.monotonic,
) -> Retry:
    """A policy that retries a call during an outage, for at most `seconds`.

    It waits 0.2 seconds, then twice as long each time, with jitter. `Unavailable` with ``halt`` is
    not retried, since only a person can help. If `stop` is set during an outage, the call raises
    `Unavailable` at once. The logger ``voltpay`` logs each retry as a warning.

    Args:
        seconds: The time limit of each call, its retries included.
        stop: Ends the wait at once when it is set.
        longest: Seconds between two attempts, at most, before the jitter.
        notify: Called with `Retrying` before each wait; give it and `payment_writer` the same.
        timer: Seconds of a clock that never goes back, by which the time limit is measured.

    Raises:
        ModuleNotFoundError: tenacity is not installed; the extras of Kafka and PostgreSQL bring it.
    """
    try:
        import tenacity  # noqa: PLC0415 - the local adapters do without it
    except ModuleNotFoundError:
        raise ModuleNotFoundError(
            "backoff needs tenacity: pip install 'voltpay[kafka]' or 'voltpay[postgres]'",
            name="tenacity",
        ) from None

    def is_over(state: RetryCallState) -> bool:
        _, deadline = state.args
        return stop.is_set() or timer() >= deadline

    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception(_is_transient),
        stop=is_over,
        wait=tenacity.wait_exponential(multiplier=0.2, max=longest) + tenacity.wait_random(0, 0.2),
        sleep=_wait_for(stop),
        before_sleep=_report_to(notify),
        reraise=True,
    )

    return _Backoff(retrying, seconds, timer)


@frozen
class _Backoff:
    _retrying: Callable[..., Any]
    seconds: float
    _timer: Callable[[], float]

    def __call__(self, act: Callable[[], T], /) -> T:
        result: T = self._retrying(_attempt, act, self._timer() + self.seconds)
        return result


def _attempt(act: Callable[[], T], _deadline: float) -> T:
    return act()


def _is_transient(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and not error.halt


def _wait_for(stop: Event) -> Callable[[float], None]:
    def wait(seconds: float) -> None:
        if stop.wait(seconds):
            raise Unavailable("stopped during an outage", code="stopped")

    return wait


def _fields(retrying: Retrying) -> dict[str, object]:
    return {
        "code": retrying.failure.code,
        "attempt": retrying.attempt,
        "seconds": retrying.seconds,
    }


def _report_to(notify: Observer) -> Callable[[RetryCallState], None]:
    def report(state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        wait = state.next_action.sleep if state.next_action else 0
        if isinstance(error, Unavailable):  # the only kind that is retried
            retrying = Retrying(error, state.attempt_number + 1, wait)
            # not `str(retrying)`: a log handler may add what a person can do about the failure
            log.warning(
                "%s; attempt %d in %.1f s",
                error,
                retrying.attempt,
                retrying.seconds,
                extra={"event": "retrying", "fields": _fields(retrying)},
            )
            notify(retrying)

    return report
