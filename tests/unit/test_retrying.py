"""The retry policy: which failures are retried, how long, and how a stop ends it."""

from threading import Event, Timer

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.retrying import backoff
from voltpay_core.errors import Fenced, Misconfigured, Rejected, Unavailable
from voltpay_core.notices import Notice, Retrying


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
    stop = Event()
    step = Step(10**9, Unavailable("out"))
    Timer(0.05, stop.set).start()
    with pytest.raises(Unavailable):
        backoff(3600, stop, longest=3600)(step)
    assert step.calls < 4


def test_after_a_stop_nothing_is_tried_again() -> None:
    """After a stop the first failure is raised."""
    stop = Event()
    stop.set()
    step = Step(1, Unavailable("out"))
    with pytest.raises(Unavailable, match=r"^out$"):
        backoff(3600, stop)(step)
    assert step.calls == 1
