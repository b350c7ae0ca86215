"""What is known of the whole system at one moment: group, database, dead letters and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar

from attrs import frozen

from voltpay_adapters.findings import Finding
from voltpay_core.errors import Misconfigured, Unavailable

T = TypeVar("T")

Failure = Misconfigured | Unavailable
"""Why a part of a snapshot is missing."""
_FAILURES = (Misconfigured, Unavailable)

MONTHS_AHEAD = 2
"""The months after the current one that `voltpay db maintain` creates, at least."""
PURGE_LATE = timedelta(days=2)
"""How much older than its limit a claim may be: the purge runs daily, and may be missed once."""


@frozen
class Member:
    """A member of the consumer group.

    Attributes:
        client_id: The name that its Kafka client states.
        host: The address that it connects from.
        partitions: The numbers of the partitions that it owns, in order.
    """

    client_id: str
    host: str
    partitions: tuple[int, ...]


@frozen
class GroupState:
    """How far the consumer group has come.

    Attributes:
        read_at: The time at which it was read, in seconds of a monotonic clock.
        positions: The next offset to read of each partition.
        ends: The offset after the last record of each partition, open transactions included.
        members: In no order.
    """

    read_at: float
    positions: Mapping[int, int]
    ends: Mapping[int, int]
    members: tuple[Member, ...]

    @property
    def lag(self) -> dict[int, int]:
        """The records of each partition that are not acknowledged."""
        return {n: max(0, end - self.positions[n]) for n, end in self.ends.items()}

    @property
    def unowned(self) -> tuple[int, ...]:
        """The partitions that no member owns, in order."""
        owned = {number for member in self.members for number in member.partitions}
        return tuple(sorted(self.ends.keys() - owned))


@frozen
class Rate:
    """Records a second between two readings.

    Attributes:
        produced: Records that were added to the topic.
        acknowledged: Records that the group has finished.
    """

    produced: float
    acknowledged: float


@frozen
class StoreState:
    """What the tables of the writer hold beside payments.

    Attributes:
        outbox_rows: Rows that wait to be published.
        outbox_oldest: Seconds since the oldest of them was written; 0 if there is none.
        oldest_claim: Seconds since the oldest claim was made; 0 if there is none. Of a large table
            it is an estimate from a sample, which may be too small by a thousandth.
        months_ahead: The months without a gap after the current one, by table; -1 if the current
            one is missing. Empty if the tables have no months.
        clock_difference: Seconds between this machine's clock and the database's.
        node_ids: The node ids that running processes hold; empty if that is not known.
    """

    outbox_rows: int
    outbox_oldest: float
    oldest_claim: float
    months_ahead: Mapping[str, int]
    clock_difference: float
    node_ids: tuple[int, ...]


@frozen
class Snapshot:
    """The system at one moment; a part is None if there is no such part.

    Attributes:
        dead_letters: The number of dead letters retained.
        checks: The answers of `voltpay check`.
    """

    at: datetime
    group: GroupState | Failure | None
    store: StoreState | Failure | None
    dead_letters: int | Failure | None
    checks: tuple[Finding, ...]

    def findings(self) -> Iterator[Finding]:
        """The checks, and one finding for each part that there is: whether it could be read."""
        yield from self.checks
        parts = {"group": self.group, "store": self.store, "dead-letters": self.dead_letters}
        for name, part in parts.items():
            if part is not None:
                yield Finding(name, part if isinstance(part, _FAILURES) else "was read")

    def failures(self) -> Iterator[Finding]:
        """The checks that fail, and the parts that could not be read."""
        return (finding for finding in self.findings() if finding.failure)


def take(
    now: datetime,
    *,
    group: Callable[[], GroupState] | None,
    store: Callable[[], StoreState] | None,
    dead_letters: Callable[[], int] | None,
    checks: Callable[[], Iterable[Finding]],
) -> Snapshot:
    """Read all parts at once, each in a thread; a part that fails is its failure.

    Args:
        group: Reads the part; None if there is no such part. The same holds for the others.
    """
    with ThreadPoolExecutor() as pool:
        reading = pool.submit(attempt, group or _nothing)
        querying = pool.submit(attempt, store or _nothing)
        counting = pool.submit(attempt, dead_letters or _nothing)
        found = tuple(checks())
    return Snapshot(now, reading.result(), querying.result(), counting.result(), found)


def attempt(read: Callable[[], T]) -> T | Failure:
    """What is read, or the failure."""
    try:
        return read()
    except _FAILURES as failure:
        return failure


def rate(before: GroupState, after: GroupState) -> Rate:
    """The rate between two readings of a group; partitions that only one of them has are left out.

    A topic that was created again in between, or offsets that were moved back, count as 0.
    """
    seconds = max(after.read_at - before.read_at, 1e-3)

    def moved(old: Mapping[int, int], new: Mapping[int, int]) -> float:
        return sum(max(0, new[each] - old[each]) for each in new.keys() & old.keys()) / seconds

    return Rate(moved(before.ends, after.ends), moved(before.positions, after.positions))


def problems(snapshot: Snapshot, claims_kept: timedelta) -> list[Finding]:
    """Everything that a person should do something about, each with its failure.

    Args:
        claims_kept: How long claims are kept, after which they are purged.
    """
    return [*snapshot.failures(), *_unowned(snapshot.group), *_late(snapshot.store, claims_kept)]


def _unowned(group: GroupState | Failure | None) -> Iterator[Finding]:
    if isinstance(group, GroupState) and group.unowned:
        if not group.members:
            reason = "no writer is in the consumer group"
            yield Finding("group", Unavailable(reason, code="no-member"))
        else:
            reason = f"{len(group.unowned)} of {len(group.ends)} partitions have no owner"
            yield Finding("group", Unavailable(reason, code="unowned-partitions"))


def _late(store: StoreState | Failure | None, claims_kept: timedelta) -> Iterator[Finding]:
    if not isinstance(store, StoreState):
        return
    for table, months in store.months_ahead.items():
        if 0 < months < MONTHS_AHEAD:  # a check reports that this month or the next is missing
            reason = f"{table} has {months} months ahead, not {MONTHS_AHEAD}"
            yield Finding("months", Unavailable(reason, code="months-ahead"))
    oldest = timedelta(seconds=store.oldest_claim)
    if oldest > claims_kept + PURGE_LATE:
        reason = f"the oldest claim is {oldest.days} days old, and {claims_kept.days} are kept"
        yield Finding("claims", Unavailable(reason, code="claims-not-purged"))


def _nothing() -> None:
    """There is no such part."""
