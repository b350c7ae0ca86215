"""Snapshots: what is computed from them, and what a part that fails does to the others."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.snapshots import NOW, group, groups, snapshot, store

from voltpay_adapters.findings import Finding
from voltpay_adapters.postgres.inspection import PAYMENT_TABLES, TablePartition, months_ahead
from voltpay_adapters.snapshots import GroupState, Member, Rate, problems, rate, take
from voltpay_core.errors import Misconfigured, Unavailable

WEEK = timedelta(days=7)
DAY = 86_400.0
PARTS: dict[str, Any] = {
    "group": lambda: group({0: 1}),
    "store": store,
    "dead_letters": lambda: 3,
}
SUBSETS = [each for number in range(4) for each in combinations(PARTS, number)]


@given(found=groups)
def test_the_lag_counts_what_is_not_acknowledged(found: GroupState) -> None:
    """Each partition's lag is its end less its position, and never below 0."""
    assert found.lag.keys() == found.ends.keys()
    for number, lag in found.lag.items():
        assert lag == max(0, found.ends[number] - found.positions[number])


@given(found=groups)
def test_each_partition_is_owned_or_unowned(found: GroupState) -> None:
    """A partition of the topic is unowned exactly if no member has it."""
    owned = {number for member in found.members for number in member.partitions}
    assert list(found.unowned) == sorted(found.ends.keys() - owned)


@given(before=groups, after=groups)
def test_no_rate_is_below_zero(before: GroupState, after: GroupState) -> None:
    """Whatever happens to topic and offsets between two readings, no rate is below 0."""
    found = rate(before, after)
    assert found.produced >= 0
    assert found.acknowledged >= 0


def test_the_rate_is_a_difference_by_seconds() -> None:
    """Two readings two seconds apart give what was produced and finished in one second."""
    before = group({0: 10, 1: 10, 2: 5}, seconds=7, done=100)
    after = group({0: 0, 1: 30, 3: 9}, seconds=9, done=110)
    assert rate(before, after) == Rate(produced=15, acknowledged=10)


@pytest.mark.parametrize(
    "failing", [set(each) for n in range(4) for each in combinations(PARTS, n)]
)
def test_a_part_that_fails_hides_no_other(failing: tuple[str, ...]) -> None:
    """Each part is there or is its failure, whatever happens to the others."""

    def fail() -> Any:
        raise Unavailable("away", code="no-broker")

    checks = (Finding("broker", "reached"), Finding("clock", Misconfigured("slow")))
    parts = {name: fail if name in failing else read for name, read in PARTS.items()}
    found = take(NOW, **parts, checks=lambda: checks)
    assert (found.at, found.checks) == (NOW, checks)
    for name, read in PARTS.items():
        part = getattr(found, name)
        assert isinstance(part, Unavailable) if name in failing else part == read()
    expected = {"clock"} | {name.replace("_", "-") for name in failing}
    assert {finding.name for finding in found.failures()} == expected


def test_a_part_that_does_not_exist_is_no_failure() -> None:
    """Without Kafka, a store and events there is nothing but the checks."""
    found = take(NOW, group=None, store=None, dead_letters=None, checks=lambda: ())
    assert (found.group, found.store, found.dead_letters) == (None, None, None)
    assert list(found.findings()) == []


def test_a_bug_in_a_part_is_not_hidden() -> None:
    """An exception of no kind that the core knows ends the program."""

    def fail() -> int:
        raise ValueError

    with pytest.raises(ValueError):  # noqa: PT011 - it has no words
        take(NOW, group=None, store=None, dead_letters=fail, checks=lambda: ())


def test_a_system_in_order_has_no_problem() -> None:
    """All partitions are owned, the months are there, claims are purged: nothing is reported."""
    assert problems(snapshot(), WEEK) == []


AWAY = Unavailable("away", code="no-broker")
WRONG: list[tuple[str, str, dict[str, Any]]] = [
    ("no-member", "group", {"group": group({0: 0, 1: 9})}),
    ("unowned-partitions", "group", {"group": group({0: 0, 1: 0}, Member("a", "h", (0,)))}),
    ("no-broker", "group", {"group": AWAY}),
    ("no-broker", "store", {"store": AWAY}),
    ("no-broker", "dead-letters", {"dead_letters": AWAY}),
    ("no-broker", "broker", {"checks": (Finding("broker", AWAY),)}),
    ("months-ahead", "months", {"store": store(months_ahead={"payment_core": 1})}),
    ("claims-not-purged", "claims", {"store": store(oldest_claim=9.1 * DAY)}),
]


@pytest.mark.parametrize(("code", "name", "given_"), WRONG)
def test_each_thing_that_is_wrong_is_one_problem(
    code: str, name: str, given_: dict[str, Any]
) -> None:
    """One thing that a person should do something about is one problem with its code."""
    (found,) = problems(snapshot(**given_), WEEK)
    assert found.failure is not None
    assert (found.name, found.failure.code) == (name, code)


@pytest.mark.parametrize(
    "given_",
    [{"oldest_claim": 8.9 * DAY}, {"oldest_claim": 0.0}, {"months_ahead": {}}, {"node_ids": ()}],
)
def test_what_may_be_is_no_problem(given_: dict[str, Any]) -> None:
    """A purge that was missed once, and a store without months, are no problem."""
    assert problems(snapshot(store=store(**given_)), WEEK) == []


MONTHS = [datetime(2024 + n // 12, n % 12 + 1, 1, tzinfo=UTC) for n in range(10, 20)]


@given(ahead=st.sets(st.integers(1, 8)), days=st.floats(0, 29.9))
def test_months_ahead_are_counted_up_to_the_first_gap(ahead: set[int], days: float) -> None:
    """A month after a gap does not help: payments of the missing month would stop the writer."""
    made = [TablePartition("payment_core", "p", MONTHS[n], None) for n in (0, *ahead)]
    counted = months_ahead(made, MONTHS[0] + timedelta(days=days))
    gap = next(n for n in range(1, 10) if n not in ahead)
    assert counted == {**dict.fromkeys(PAYMENT_TABLES, -1), "payment_core": gap - 1}
