"""The retry policy: which failures are retried, how long, and how a stop ends it."""

from threading import Event

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.retrying import backoff
from voltpay_core.errors import Fenced, Misconfigured, Rejected, Unavailable
from voltpay_core.notices import Notice, Retrying


class Waits(Event):
    """A stop flag that notes how long somebody wants to wait for it, and is set at one of them."""

    def __init__(self, stop_at: int | None = None) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        if len(self.seconds) == self.stop_at:
            self.set()
        return self.is_set()


class Step:
    """A call that fails this number of times before it succeeds."""

    def __init__(self, failures: int, error: Exception) -> None:
        self.failures, self.error, self.calls = failures, error, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls <= self.failures:
            raise self.error


@given(failures=st.integers(0, 3))
def test_an_outage_is_waited_out(failures: int) -> None:
    """A failure that may end is retried until the call succeeds."""
    step = Step(failures, Unavailable("out"))
    backoff(60, Event(), longest=0)(step)
    assert step.calls == failures + 1


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("disk full", halt=True),
        Rejected("code", "reason"),
        Fenced((), "taken over"),
        Misconfigured("x"),
        ValueError("a bug"),
    ],
)
def test_nothing_else_is_tried_again(error: Exception) -> None:
    """A failure that only a person can fix, or that is no outage, is raised at once."""
    step = Step(1, error)
    with pytest.raises(type(error)):
        backoff(60, Event())(step)
    assert step.calls == 1


def test_the_budget_is_fresh_for_every_call() -> None:
    """Each call has the whole time limit."""
    policy = backoff(0.5, Event(), longest=0)
    hopeless, healing = Step(10**9, Unavailable("out")), Step(1, Unavailable("out"))
    with pytest.raises(Unavailable):
        policy(hopeless)
    policy(healing)
    assert hopeless.calls > healing.calls == 2


def test_the_limit_begins_with_the_call_and_is_measured_by_the_timer() -> None:
    """A call is tried again until its limit is over by the given clock, and not once more."""
    times = iter([1000.0, 1000.0, 1059.9, 1060.0, 2000.0, 2059.9])
    policy = backoff(60, Event(), longest=0, timer=lambda: next(times))
    hopeless, healing = Step(10**9, Unavailable("out")), Step(1, Unavailable("out"))
    with pytest.raises(Unavailable):
        policy(hopeless)
    policy(healing)
    assert (hopeless.calls, healing.calls) == (3, 2)


def test_a_policy_tells_of_each_retry() -> None:
    """Before each wait an observer hears why, which attempt follows, and after how long."""
    told: list[Notice] = []
    failure = Unavailable("out")
    backoff(60, Event(), longest=0, notify=told.append)(Step(2, failure))
    second, third = told
    assert isinstance(second, Retrying)
    assert isinstance(third, Retrying)
    assert second.failure is third.failure is failure
    assert (second.attempt, third.attempt) == (2, 3)
    assert 0 <= second.seconds <= 0.2


def test_a_stop_ends_the_waiting_at_once() -> None:
    """A stop during the wait ends it without another attempt."""
    stop, step = Waits(stop_at=3), Step(10**9, Unavailable("out"))
    with pytest.raises(Unavailable) as raised:
        backoff(3600, stop, longest=3600)(step)
    assert raised.value.code == "stopped"
    assert step.calls == 3


@pytest.mark.parametrize("longest", [0.0, 1.0, None])
def test_each_wait_is_twice_as_long_as_the_last_one(longest: float | None) -> None:
    """The first wait is 0.2 seconds, the longest 10 by default, and jitter adds at most 0.2."""
    waits, step = Waits(), Step(10, Unavailable("out"))
    policy = backoff(3600, waits) if longest is None else backoff(3600, waits, longest=longest)
    policy(step)
    least = [min(0.2 * 2**number, 10.0 if longest is None else longest) for number in range(10)]
    jitter = [wait - base for wait, base in zip(waits.seconds, least, strict=True)]
    assert 0 <= min(jitter) < max(jitter) <= 0.2


def test_after_a_stop_nothing_is_tried_again() -> None:
    """After a stop the first failure is raised."""
    stop = Event()
    stop.set()
    step = Step(1, Unavailable("out"))
    with pytest.raises(Unavailable, match=r"^out$"):
        backoff(3600, stop)(step)
    assert step.calls == 1
