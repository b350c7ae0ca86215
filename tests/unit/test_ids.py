"""Payment ids: unique, sorted and readable whatever the clock does."""

import os
from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from voltpay_core.ids import UNIX_EPOCH, PaymentId, PaymentIdGenerator, beginning

MOMENTS = st.integers(0, 253_402_300_799_999)  # to the end of the year 9999


@given(clock=st.lists(MOMENTS, min_size=1, max_size=50), node_id=st.integers(0, 999))
def test_ids_always_increase(clock: list[int], node_id: int) -> None:
    """Ids are unique and always increase, as texts and as ids, even if the clock steps back."""
    readings = iter(clock)
    ids = PaymentIdGenerator(lambda: next(readings))
    minted = [ids.mint(node_id) for _ in clock]
    assert all(one < other and one.text < other.text for one, other in pairwise(minted))
    assert all(one.created_at <= other.created_at for one, other in pairwise(minted))


@given(clock=st.lists(MOMENTS, min_size=1, max_size=20))
def test_the_highest_reading_stands(clock: list[int]) -> None:
    """An id has the highest time that its clock has returned, to the millisecond."""
    readings = iter(clock)
    ids = PaymentIdGenerator(lambda: next(readings))
    for number in range(len(clock)):
        told = (ids.mint(0).created_at - UNIX_EPOCH).total_seconds() * 1000
        assert round(told) == max(clock[: number + 1])


@given(moment=MOMENTS, noise=st.binary(min_size=10, max_size=10))
def test_ids_of_a_millisecond_are_neighbours(moment: int, noise: bytes) -> None:
    """A millisecond begins with the time and random bits, and the ULID counts up by one."""
    ids = PaymentIdGenerator(lambda: moment)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "urandom", lambda size: noise[:size])
        first, second = (int(ULID.from_str(ids.mint(0).text[:26])) for _ in range(2))
    assert first == int.from_bytes(moment.to_bytes(6, "big") + noise, "big")
    assert second == first + 1 or noise.endswith(b"\xff\xff")


def test_a_millisecond_that_is_used_up_is_followed_by_the_next() -> None:
    """Ids increase when a millisecond has no more of them, by the time of the next millisecond."""
    ids = PaymentIdGenerator(lambda: 1)
    first = ids.mint(0)
    ids._count = 2**20 - 2
    last, following = ids.mint(0), ids.mint(0)
    assert first < last < following
    assert last.text.endswith("ZZZZ-000")
    assert (last.created_at, following.created_at) == (
        UNIX_EPOCH + timedelta(milliseconds=1),
        UNIX_EPOCH + timedelta(milliseconds=2),
    )


def test_generators_of_one_millisecond_share_no_id() -> None:
    """Writers that follow one another in a process mint different ids, also in one millisecond."""
    generators = [PaymentIdGenerator(lambda: 1) for _ in range(10)]
    minted = {generator.mint(0) for generator in generators for _ in range(10)}
    assert len(minted) == 100


@given(moment=MOMENTS, node_id=st.integers(0, 999))
def test_an_id_says_who_and_when(moment: int, node_id: int) -> None:
    """An id has the form ULID-NNN and 30 characters, and parsing returns the same id."""
    minted = PaymentIdGenerator(lambda: moment).mint(node_id)
    ulid, node = str(minted).split("-")
    assert (len(ulid), node) == (26, f"{node_id:03}")
    assert PaymentId.parse(minted.text) == minted


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "01J00000000000000000000000",
        "01J00000000000000000000000-",
        "01J00000000000000000000000-1",
        "01J00000000000000000000000-1000",
        "01J00000000000000000000000-+01",
        "01J00000000000000000000000-\u0661\u0662\u0663",
        "01J0000000000000000000000-001",
        "01J0000000000000000000000U-001",
        "81J00000000000000000000000-001",
        "7ZZZZZZZZZZZZZZZZZZZZZZZZZ-001",
    ],
)
def test_what_is_no_id_is_not_read(text: str) -> None:
    """A text of another form is no payment id."""
    with pytest.raises(ValueError, match=r"ULID|before the year 10000|overflow"):
        PaymentId.parse(text)


@given(milliseconds=MOMENTS, other=MOMENTS)
def test_ids_are_between_the_beginnings_of_their_times(milliseconds: int, other: int) -> None:
    """An id is above the beginning of its own time and of earlier ones, and below later ones."""
    payment_id = PaymentIdGenerator(lambda: milliseconds).mint(7)
    assert (payment_id.text > beginning(other)) == (milliseconds >= other)
    assert payment_id.text.startswith(beginning(milliseconds))
