"""What is left of a run of known length."""

from datetime import timedelta

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voltpay_cli.console.remaining import Remaining
from voltpay_core.notices import BatchDone
from voltpay_core.outcomes import Tally
from voltpay_core.records import Partition

FILE = Partition("in.jsonl", 0)
counts = st.integers(0, 10**9)


@example(written=1, left=10**9, seconds=10**6)
@given(written=counts, left=counts, seconds=st.floats(0, 10**6))
def test_what_is_left_takes_as_long_as_what_is_done(
    written: int, left: int, seconds: float
) -> None:
    """At 100 % nothing is left; before that, the time is in the proportion of the records."""
    found = Remaining.after(BatchDone(Tally(written=written), {FILE: left}, 0), seconds)
    assert 0 <= found.percent <= 100
    assert (found.percent == 100) <= (left == 0)
    if written:
        time = min(seconds * left / written, 10**9)
        assert found.time.total_seconds() == pytest.approx(time, abs=1)


def test_it_is_said_in_words() -> None:
    """A share in percent and a time, for the log."""
    found = Remaining.after(BatchDone(Tally(written=400, duplicates=20), {FILE: 580}, 0), 42)
    assert found.words == "42 %, 0:00:58"
    assert found.time == timedelta(seconds=58)
