"""The retry policy, by which everything is tried again that is."""

from __future__ import annotations

import logging
from collections.abc import Callable

from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    stop_when_event_set,
    wait_exponential,
    wait_random,
)

from voltpay_cli.stopping import Stop
from voltpay_core.errors import Unavailable
from voltpay_core.ports import Retry

log = logging.getLogger("voltpay")


def retry(seconds: float, stop: Stop, *, longest: float = 10.0) -> Retry:
    """A policy that waits out an outage, with a fresh budget for every call.

    It waits 0.2 seconds, then twice as long each time, with jitter. What only a person can mend
    is not tried again, and a stop ends the waiting at once.

    Args:
        seconds: The budget of one call.
        stop: Ends the waiting.
        longest: Seconds between two attempts, at most.
    """
    return Retrying(
        retry=retry_if_exception(_may_heal),
        stop=stop_after_delay(seconds) | stop_when_event_set(stop.flag),
        wait=wait_exponential(multiplier=0.2, max=longest) + wait_random(0, 0.2),
        sleep=_pause(stop),
        before_sleep=_tell,
        reraise=True,
    )


def _may_heal(error: BaseException) -> bool:
    return isinstance(error, Unavailable) and not error.halt


def _pause(stop: Stop) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        if stop.flag.wait(seconds):
            raise Unavailable("stopped during an outage")

    return pause


def _tell(state: RetryCallState) -> None:
    wait = state.next_action.sleep if state.next_action else 0
    error = state.outcome.exception() if state.outcome else None
    log.warning("%s; attempt %d in %.1f s", error, state.attempt_number + 1, wait)
