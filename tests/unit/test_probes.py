"""The probes: when a writer is alive, and when it is ready."""

import pytest
from attrs import define, field

from voltpay_adapters.probes import SPARE, STALLED, Probes
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.notices import BatchDone, Idle, Notice, Polled, Retrying, TakenOver
from voltpay_core.outcomes import Tally

RETRYING = Retrying(Unavailable("PostgreSQL at db cannot be reached", code="database"), 2, 0.2)
TAKEN_OVER = TakenOver(frozenset(), 0, 1, 0)
EACH: dict[str, Notice] = {
    "retrying": RETRYING,
    "taken over": TAKEN_OVER,
    "idle": Idle({}),
    "batch done": BatchDone(Tally(), {}, 0),
    "fenced": Fenced((), "x"),
}


@define
class Clock:
    """A clock that a test sets."""

    now: float = 100.0
    probes: Probes = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.probes = Probes(lambda: self.now)

    def hear(self, *notices: Notice, after: float = 0) -> None:
        self.now += after
        for notice in notices:
            self.probes(notice)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.mark.parametrize("notice", EACH.values(), ids=EACH)
def test_every_notice_is_a_sign_of_life(clock: Clock, notice: Notice) -> None:
    """Two minutes after the last notice of any kind the loop counts as dead, and not before."""
    for _ in range(10):
        clock.hear(notice, after=STALLED)
        assert clock.probes.why_dead() is None
    clock.now += STALLED
    assert clock.probes.why_dead() is None
    clock.now += 1
    assert clock.probes.why_dead() == "nothing has happened for 121 s"


def test_a_start_has_its_time(clock: Clock) -> None:
    """Before the first notice the time counts from the start."""
    clock.now += STALLED
    assert clock.probes.why_dead() is None
    clock.now += 1
    assert clock.probes.why_dead() is not None


def test_an_outage_never_makes_a_writer_dead(clock: Clock) -> None:
    """A probe must not turn an outage into a loop of restarts: it is not ready, and alive."""
    clock.hear(TAKEN_OVER)
    for _ in range(1000):
        clock.hear(RETRYING, after=10)
        assert clock.probes.why_dead() is None
        assert clock.probes.why_not_ready() is not None


def test_a_writer_is_ready_once_it_has_taken_over(clock: Clock) -> None:
    """Before the first take-over it is not ready; idle polls alone prove no database."""
    assert clock.probes.why_not_ready() == "no partition is taken over yet"
    clock.hear(Idle({}), after=1)
    assert clock.probes.why_not_ready() == "no partition is taken over yet"
    clock.hear(TAKEN_OVER)
    assert clock.probes.why_not_ready() is None
    clock.hear(Fenced((), "x"))
    assert clock.probes.why_not_ready() is None


def test_an_outage_has_its_reason_and_its_duration(clock: Clock) -> None:
    """During an outage the reason is the code of the failure, and never its sentence."""
    clock.hear(TAKEN_OVER)
    clock.hear(RETRYING)
    clock.hear(RETRYING, after=42)
    assert clock.probes.why_not_ready() == "an outage for 42 s: database"
    clock.hear(TAKEN_OVER)
    assert clock.probes.why_not_ready() is None


@pytest.mark.parametrize(
    "sign",
    [Idle({}), BatchDone(Tally(), {}, 0), Polled([], None, 0)],  # type: ignore[arg-type]
)
def test_any_success_ends_an_outage(clock: Clock, sign: Notice) -> None:
    """The first step that succeeds makes a writer ready again."""
    clock.hear(TAKEN_OVER, RETRYING, sign)
    assert clock.probes.why_not_ready() is None


def test_a_spare_member_is_ready_after_a_while(clock: Clock) -> None:
    """A member that gets no partition is ready when it has polled for some time without failure."""
    clock.hear(Idle({}))
    clock.hear(Idle({}), after=SPARE - 1)
    assert clock.probes.why_not_ready() is not None
    clock.hear(RETRYING)
    clock.hear(Idle({}))
    clock.hear(Idle({}), after=SPARE - 1)
    assert clock.probes.why_not_ready() is not None
    clock.hear(Idle({}), after=1)
    assert clock.probes.why_not_ready() is None
