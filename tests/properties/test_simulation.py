"""Any history of several writers: whatever happens, the guarantees hold and the work is done."""

import logging
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.simulation.world import play

DECISIONS = 160
EXAMPLES = max(500, settings.default.max_examples)  # type: ignore[union-attr]


@pytest.fixture(autouse=True, scope="module")
def _silence() -> Iterator[None]:
    """Each retry is logged as a warning, and there are many."""
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@settings(max_examples=EXAMPLES)
@given(tape=st.binary(min_size=DECISIONS, max_size=DECISIONS))
def test_nothing_that_happens_breaks_a_guarantee(tape: bytes) -> None:
    """Crashes, outages, rebalances and stalls at any step lose, double and reorder nothing."""
    assert play(tape) == []
