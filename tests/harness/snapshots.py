"""Snapshots of a system, by hand and at random."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from voltpay_adapters.findings import Finding
from voltpay_adapters.snapshots import GroupState, Member, Snapshot, StoreState

NOW = datetime(2025, 1, 31, 12, 30, tzinfo=UTC)


def group(
    lag: Mapping[int, int], *members: Member, seconds: float = 0.0, done: int = 100
) -> GroupState:
    """A group that has this lag, and has finished a number of records of each partition."""
    positions = dict.fromkeys(lag, done)
    return GroupState(seconds, positions, {n: done + left for n, left in lag.items()}, members)


def store(**given: Any) -> StoreState:
    """A database in which nothing waits."""
    months = dict.fromkeys(("payment_core", "payment_metadata", "payment_notes"), 2)
    well: dict[str, Any] = {
        "outbox_rows": 0,
        "outbox_oldest": 0.0,
        "oldest_claim": 3600.0,
        "months_ahead": months,
        "clock_difference": 0.01,
        "node_ids": (0, 1),
    }
    return StoreState(**(well | given))


def snapshot(**given: Any) -> Snapshot:
    """A system in which all is well: two members own three partitions."""
    well: dict[str, Any] = {
        "at": NOW,
        "group": group({0: 0, 1: 0, 2: 0}, Member("a", "h", (0, 1)), Member("b", "h", (2,))),
        "store": store(),
        "dead_letters": 0,
        "checks": (Finding("broker", "reached"), Finding("database", "accepts")),
    }
    return Snapshot(**(well | given))


def _member(numbers: frozenset[int]) -> Member:
    return Member("client", "host", tuple(sorted(numbers)))


def _group(
    offsets: dict[int, tuple[int, int]], owned: list[frozenset[int]], seconds: float
) -> GroupState:
    return GroupState(
        seconds,
        {number: position for number, (position, _) in offsets.items()},
        {number: end for number, (_, end) in offsets.items()},
        tuple(map(_member, owned)),
    )


numbers = st.integers(0, 30)
offsets = st.tuples(st.integers(0, 10**12), st.integers(0, 10**12))
groups = st.builds(
    _group,
    st.dictionaries(numbers, offsets, min_size=1),
    st.lists(st.frozensets(numbers), max_size=5),
    st.floats(0, 1e6),
)
