"""Where a group continues in a partition: a table over what can be committed."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.kafka.resuming import is_of_another, mark, resume_at
from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition

PLACE = Partition("payments", 3)
ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.mark.parametrize(
    ("committed", "position"), [(None, 5), (5, 5), (6, 6), (8, 8), (9, 9)], ids=str
)
@pytest.mark.parametrize("skips", [True, False])
def test_what_is_committed_between_start_and_end_counts(
    committed: int | None, position: int, skips: bool
) -> None:
    """A group continues at its offset, and at the log's start if it has none; nothing is told."""
    told: list[str] = []
    assert resume_at(PLACE, committed, 5, 9, told.append if skips else None) == position
    assert told == []


@given(committed=st.integers(0, 4))
def test_records_that_expired_unread_halt_or_are_skipped(committed: int) -> None:
    """If the log starts behind the offset, the number of lost records is told, or skipped."""
    lost = f"{5 - committed} records of payments-3 expired before they were read"
    with pytest.raises(Unavailable) as raised:
        resume_at(PLACE, committed, 5, 9, None)
    assert (str(raised.value), raised.value.halt, raised.value.code) == (
        lost,
        True,
        "records-expired",
    )
    told: list[str] = []
    assert resume_at(PLACE, committed, 5, 9, told.append) == 5
    assert told == [f"{lost}; skipped"]


def test_an_offset_beyond_the_end_halts() -> None:
    """A log that ends before the offset has lost records, which nobody may skip silently."""
    for skip in (None, pytest.fail):
        with pytest.raises(Unavailable, match="payments-3 ends at 9, but 10 is acknowl") as raised:
            resume_at(PLACE, 10, 5, 9, skip)
        assert raised.value.halt


def test_an_offset_belongs_to_the_topic_that_it_names() -> None:
    """An offset that names no topic id, or that is compared with none, is of any topic."""
    assert is_of_another(mark(ONE), OTHER)
    assert not is_of_another(mark(ONE), ONE)
    assert not is_of_another(mark(ONE), None)
    assert not is_of_another(mark(None), ONE)
    assert not is_of_another("anything else", ONE)
    assert mark(None) == ""
