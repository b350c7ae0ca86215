"""The contract of a message source."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from itertools import pairwise
from threading import Lock
from typing import ClassVar, Protocol

import pytest

from voltpay_adapters.testing.faults import Crash
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.ports import MessageSource, PollResult
from voltpay_core.records import Headers, Partition, Record

PATIENCE = 60.0
"""Seconds until something that must come is missed."""
SHORTLY = 10.0
"""Seconds that a poll takes at most, also on a busy machine: a process must heed a stop."""


class SourceHarness(Protocol):
    """One empty topic, of 2 partitions or more where there are partitions, and one group."""

    @property
    def partitions(self) -> Sequence[Partition]:
        """The topic's partitions."""

    def produce(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"1",
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> None:
        """Put a record at the partition's end; on return it is there to be read."""

    def open(self) -> MessageSource:
        """A new member of the group; the harness closes what a test leaves open."""

    def close(self, source: MessageSource) -> None:
        """Let that member leave the group, as a process that stops does."""

    def replace(self) -> None:
        """Put another, empty topic in the place of this one; its members have left."""


class SourceContract:
    """The laws of a source that one member reads, for a subclass with a fixture ``harness``.

    Nothing here sleeps: a poll waits a while for records, and what may come some polls later is
    polled for until a deadline.
    """

    def test_a_partition_gives_nothing_before_seek_to_committed(
        self, harness: SourceHarness
    ) -> None:
        """A partition is reported as assigned first; its records come only after the seek."""
        self.fill(harness, 1)
        source = harness.open()
        assigned: set[Partition] = set()
        for polled in polls(source, 100):
            assert not polled.records
            assert not polled.assigned & assigned
            assigned |= polled.assigned
            if assigned == set(harness.partitions):
                break
        assert not source.poll(100).records
        source.seek_to_committed(assigned)
        records = collect(source, len(harness.partitions))
        assert {record.partition for record in records} == assigned

    def test_records_arrive_whole_and_in_order(self, harness: SourceHarness) -> None:
        """Each record comes once, in its partition's order, with all that was produced."""
        self.fill(harness, 7)
        records = collect(harness.open(), 7 * len(harness.partitions), limit=3)
        for partition in harness.partitions:
            mine = [record for record in records if record.partition == partition]
            assert [record.value for record in mine] == [value(n) for n in range(7)]
            assert all(before.offset < after.offset for before, after in pairwise(mine))

    @pytest.mark.parametrize("content", [b'{"a": 1}', b"", b"\xff\x00\n", None])
    def test_bytes_are_untouched(self, harness: SourceHarness, content: bytes | None) -> None:
        """Key, value, headers and timestamp come as they were produced, whatever they hold."""
        headers = (("traceparent", b"00-1"), ("binary", b"\xff\x00"))
        harness.produce(harness.partitions[0], content, content, headers, 1_700_000_000_123)
        (record,) = collect(harness.open(), 1)
        assert record.key == record.value == content
        assert sorted(record.headers) == sorted(headers)
        assert record.timestamp == 1_700_000_000_123

    @pytest.mark.parametrize("timestamp", [0, -1])
    def test_a_timestamp_is_kept(self, harness: SourceHarness, timestamp: int) -> None:
        """A record has the timestamp that it was produced with: the epoch too, and Kafka's -1."""
        harness.produce(harness.partitions[0], b"v", timestamp=timestamp)
        (record,) = collect(harness.open(), 1)
        assert record.timestamp == timestamp

    def test_a_poll_keeps_its_limit(self, harness: SourceHarness) -> None:
        """A poll brings no more than was asked for; one of 0 brings none and loses none."""
        self.fill(harness, 5)
        source = owning(harness)
        seen: list[Record] = []
        for polled in polls(source, 2):
            assert len(polled.records) <= 2
            seen += polled.records
            assert not source.poll(0).records
            if len(seen) == 5 * len(harness.partitions):
                break
        assert len({(record.partition, record.offset) for record in seen}) == len(seen)

    @pytest.mark.parametrize("limit", [0, 100])
    def test_a_poll_waits_only_shortly(self, harness: SourceHarness, limit: int) -> None:
        """Where there are no records, a poll ends after a short wait, and brings none."""
        self.fill(harness, 1)
        source = owning(harness)
        collect(source, len(harness.partitions))
        for _ in range(3):
            began = time.monotonic()
            assert not source.poll(limit).records
            assert time.monotonic() - began < SHORTLY

    def test_positions_follow_the_records(self, harness: SourceHarness) -> None:
        """The position of a polled partition is behind its last record and not behind the next."""
        self.fill(harness, 4)
        reached: dict[Partition, int] = {}
        seen = 0
        for polled in polls(owning(harness), 3):
            for record in polled.records:
                assert record.offset >= reached.get(record.partition, 0)
            last = {record.partition: record.offset for record in polled.records}
            assert polled.positions.keys() >= last.keys()
            assert all(polled.positions[place] > offset for place, offset in last.items())
            reached.update(polled.positions)
            seen += len(polled.records)
            if seen == 4 * len(harness.partitions):
                break

    def test_a_rewind_brings_back_what_is_unacknowledged(self, harness: SourceHarness) -> None:
        """Each seek continues from the committed offset."""
        for number in range(4):
            harness.produce(harness.partitions[0], value(number))
        source = owning(harness)
        first = collect(source, 2, limit=2)
        place = first[0].partition
        source.acknowledge({place: first[-1].offset + 1})
        for _ in range(2):
            rest = collect(source, 2, limit=1)
            assert [record.value for record in rest] == [value(2), value(3)]
            source.seek_to_committed({place})
        source.seek_to_committed(set())
        again = collect(source, 2)
        source.acknowledge({place: again[-1].offset + 1})
        source.seek_to_committed({place})
        harness.produce(place, value(4))
        assert [record.value for record in collect(source, 1)] == [value(4)]

    def test_the_next_member_goes_on(self, harness: SourceHarness) -> None:
        """A new member continues from the committed offsets, without gap or repeat."""
        self.fill(harness, 6)
        total = 6 * len(harness.partitions)
        source = owning(harness)
        acknowledged: list[Record] = []
        for polled in polls(source, 2):
            if polled.records:
                source.acknowledge(polled.positions)
                acknowledged += polled.records
            if len(acknowledged) >= total // 2:
                break
        collect(source, 1, limit=1)  # and never acknowledged
        harness.close(source)
        rest = collect(harness.open(), total - len(acknowledged))
        places = [(record.partition, record.offset) for record in (*acknowledged, *rest)]
        assert len(places) == len(set(places)) == total

    def test_drained_means_acknowledged(self, harness: SourceHarness) -> None:
        """A source is drained once all that was there at its start is acknowledged, not before."""
        self.fill(harness, 3)
        source = owning(harness)
        source.acknowledge(reach(source, 3 * len(harness.partitions)))
        for polled in polls(source, 100):
            assert not polled.records
            if source.drained():
                break

    def test_lag_is_what_is_left_to_poll(self, harness: SourceHarness) -> None:
        """The lag is the number of known records that are not yet polled, at last 0."""
        self.fill(harness, 3)
        source = owning(harness)
        seen = 0
        for polled in polls(source, 1):
            seen += len(polled.records)
            left = 3 * len(harness.partitions) - seen
            assert 0 <= sum(source.lag().values()) <= left
            if not left:
                break

    def test_lag_is_true_before_the_first_record(self, harness: SourceHarness) -> None:
        """From the seek on, the lag of each partition counts the records that wait in it."""
        for number, partition in enumerate(harness.partitions, start=1):
            for each in range(10 * number):
                harness.produce(partition, value(each))
        source = owning(harness)
        waiting = {place: 10 * n for n, place in enumerate(harness.partitions, start=1)}
        assert source.lag() == waiting
        (record,) = collect(source, 1, limit=1)
        waiting[record.partition] -= 1
        assert source.lag() == waiting

    def test_a_poll_for_nothing_reports_partitions(self, harness: SourceHarness) -> None:
        """A poll of 0 reports what is assigned, and neither records nor positions."""
        self.fill(harness, 1)
        source = harness.open()
        assigned: set[Partition] = set()
        for polled in polls(source, 0):
            assert not polled.records
            assert not polled.positions
            assigned |= polled.assigned
            if assigned == set(harness.partitions):
                break
        source.seek_to_committed(assigned)
        assert not source.poll(0).records
        collect(source, len(harness.partitions))

    def test_another_topic_of_the_same_name_is_read_from_its_beginning(
        self, harness: SourceHarness
    ) -> None:
        """A new topic of the same name is not read from the offsets of the former one."""
        self.fill(harness, 5)
        source = owning(harness)
        for polled in polls(source, 100):
            if polled.positions:
                source.acknowledge(polled.positions)
            if source.drained():
                break
        harness.close(source)
        harness.replace()
        for partition in harness.partitions:
            for number in range(7):
                harness.produce(partition, b"another %d" % number)
        records = collect(harness.open(), 7 * len(harness.partitions))
        for partition in harness.partitions:
            mine = [record.value for record in records if record.partition == partition]
            assert mine == [b"another %d" % number for number in range(7)]

    def fill(self, harness: SourceHarness, count: int) -> None:
        for partition in harness.partitions:
            for number in range(count):
                harness.produce(partition, value(number))


class SharedSourceHarness(SourceHarness, Protocol):
    """A topic whose partitions are shared out among the members of a group."""

    def add_partition(self) -> Partition:
        """Give the topic one more partition."""


class SharedSourceContract(SourceContract):
    """The laws of a source whose partitions are shared out among the members of a group.

    Attributes:
        waits: Whether the group waits for a member to settle before its partitions move.
    """

    waits: ClassVar[bool] = False

    def test_drained_asks_for_what_was_there_at_the_start(self, harness: SourceHarness) -> None:
        """Records that come after the start do not delay `drained`."""
        self.fill(harness, 2)
        source = owning(harness)
        positions = reach(source, 2 * len(harness.partitions))
        self.fill(harness, 1)
        assert not source.drained()
        source.acknowledge(positions)
        assert source.drained()

    def test_a_new_partition_is_read_from_its_beginning(self, harness: SharedSourceHarness) -> None:
        """A partition that is added is assigned like any other, and none of it is skipped."""
        source = owning(harness)
        added = harness.add_partition()
        harness.produce(added, value(1))
        harness.produce(added, value(2))
        records = collect(source, 2)
        assert [(record.partition, record.value) for record in records] == [
            (added, value(1)),
            (added, value(2)),
        ]
        source.acknowledge({added: records[-1].offset + 1})

    def test_only_what_is_assigned_is_sought(self, harness: SharedSourceHarness) -> None:
        """A member that seeks all partitions reads those that are assigned to it, and no other."""
        members = [harness.open(), harness.open()]
        owned: list[set[Partition]] = [set(), set()]
        for who, polled in take_turns(members):
            note(owned[who], polled)
            if all(owned) and sorted([*owned[0], *owned[1]]) == sorted(harness.partitions):
                break
        for member in members:
            member.seek_to_committed(set(harness.partitions))
        self.fill(harness, 1)
        read: list[list[Partition]] = [[], []]
        for who, polled in take_turns(members):
            note(owned[who], polled)
            read[who] += [record.partition for record in polled.records]
            if sum(map(len, read)) == len(harness.partitions):
                break
        assert [set(partitions) for partitions in read] == owned

    def test_a_seek_during_a_rebalance(self, harness: SourceHarness) -> None:
        """While partitions move, a seek works or raises `Fenced`; no record is missing after it."""
        self.fill(harness, 3)
        members = [owning(harness), harness.open()]
        owned = [set(harness.partitions), set[Partition]()]
        in_doubt: set[int] = set()
        read: set[tuple[Partition, int]] = set()
        lock, deadline = Lock(), time.monotonic() + PATIENCE

        def is_done() -> bool:
            return len(read) == 3 * len(harness.partitions) or time.monotonic() > deadline

        def run(who: int) -> None:
            while not is_done():
                polled = members[who].poll(100)
                with lock:
                    note(owned[who], polled)
                    shared = sorted([*owned[0], *owned[1]]) == sorted(harness.partitions)
                    if polled.assigned or not shared or not all(owned):
                        in_doubt.update((0, 1))
                    if who not in in_doubt:
                        read.update((record.partition, record.offset) for record in polled.records)
                        continue
                with suppress(Fenced):
                    members[who].seek_to_committed(set(harness.partitions))
                    in_doubt.discard(who)

        with ThreadPoolExecutor() as pool:  # a member that does not poll would delay the others
            list(pool.map(run, (0, 1)))
        assert len(read) == 3 * len(harness.partitions)

    def test_members_share_and_none_is_left_out(self, harness: SourceHarness) -> None:
        """Partitions move to a new member, and each new record goes to the one that owns it."""
        self.fill(harness, 3)
        members = [harness.open()]
        owned: list[set[Partition]] = [set(), set()]
        for who, polled in take_turns(members):
            note(owned[who], polled)
            if len(members) == 1 and owned[0] == set(harness.partitions):
                members.append(harness.open())
            if all(owned) and sorted([*owned[0], *owned[1]]) == sorted(harness.partitions):
                break
        for partition in harness.partitions:
            harness.produce(partition, b"later")
        later: list[Partition] = []
        for who, polled in take_turns(members):
            note(owned[who], polled)
            places = [record.partition for record in polled.records if record.value == b"later"]
            assert set(places) <= owned[who]
            later += places
            if len(later) == len(harness.partitions):
                break
        assert sorted(later) == sorted(harness.partitions)

    def test_who_polls_for_nothing_stays_in_the_group(self, harness: SourceHarness) -> None:
        """A member that polls for 0 records shares the partitions with one that joins."""
        self.fill(harness, 1)
        members = [owning(harness), harness.open()]
        owned = [set(harness.partitions), set[Partition]()]
        for who, polled in take_turns(members, limits=(0, 100)):
            note(owned[who], polled)
            if all(owned) and sorted([*owned[0], *owned[1]]) == sorted(harness.partitions):
                break
        members[0].acknowledge(dict.fromkeys(owned[0], 1))

    def test_a_partition_that_moved_cannot_be_acknowledged(self, harness: SourceHarness) -> None:
        """A member that acknowledges another one's partition is fenced, and commits nothing."""
        self.fill(harness, 2)
        members = [owning(harness), harness.open()]
        owned = set(harness.partitions)
        for who, polled in take_turns(members):
            if who == 0:
                note(owned, polled)
            if revoked := set(harness.partitions) - owned:
                break
        with pytest.raises(Fenced) as caught:
            members[0].acknowledge(dict.fromkeys(revoked, 1))
        assert caught.value.partitions <= set(harness.partitions)
        for member in members:
            harness.close(member)
        collect(harness.open(), 2 * len(harness.partitions))

    def test_what_is_settled_before_partitions_move_is_not_read_again(
        self, harness: SourceHarness
    ) -> None:
        """If the group waits, a member acknowledges what it has read before another one owns it."""
        self.fill(harness, 2)
        members = [owning(harness)]
        positions = reach(members[0], 2 * len(harness.partitions))
        settled: list[bool] = []

        def settle() -> None:
            members[0].acknowledge(positions)
            settled.append(True)

        members[0].on_revoke(settle)
        members.append(harness.open())
        moved: set[Partition] = set()
        records: list[Record] = []
        for who, polled in take_turns(members):
            if who == 0:
                continue
            for partition in polled.assigned:
                harness.produce(partition, b"later")
            note(moved, polled)
            records += polled.records
            if moved and moved <= {one.partition for one in records if one.value == b"later"}:
                break
        again = [record for record in records if record.value != b"later"]
        assert (bool(settled), bool(again)) == (self.waits, not self.waits)

    def test_lost_and_gained_are_apart(self, harness: SourceHarness) -> None:
        """No poll reports a partition as both assigned and revoked, also when a member leaves."""
        members = [harness.open()]
        owned: list[set[Partition]] = [set(), set()]
        for who, polled in take_turns(members):
            assert not polled.assigned & polled.revoked
            note(owned[who], polled)
            if len(members) == 1 and owned[0]:
                members.append(harness.open())
            if owned[1]:
                break
        harness.close(members.pop())
        for _, polled in take_turns(members):
            assert not polled.assigned & polled.revoked
            note(owned[0], polled)
            if owned[0] == set(harness.partitions):
                break


class GapsHarness(SourceHarness, Protocol):
    """A topic in which offsets may hold no record, such as the marks of transactions."""

    def leave_gap(self, partition: Partition) -> int:
        """Put offsets without a record at the partition's end; the offset behind them."""

    def transaction(self) -> AbstractContextManager[Callable[[Partition, bytes], None]]:
        """What the block produces is committed at its end; `Crash` aborts it."""

    def expire(self, partition: Partition, offset: int) -> None:
        """Delete all records before that offset."""


class GapsContract:
    """The laws of a source whose topic may have offsets without a record."""

    def test_a_gap_is_passed_beside_busy_partitions(self, harness: GapsHarness) -> None:
        """Positions move over offsets without a record, though each poll brings other records."""
        busy, idle = harness.partitions[:2]
        source = owning(harness)
        end = harness.leave_gap(idle)
        reached = 0
        for number, polled in enumerate(stocked(harness, source, busy)):
            assert [record.value for record in polled.records] == [value(number)]
            reached = polled.positions.get(idle, reached)
            if reached == end:
                break

    def test_a_gap_behind_the_last_record_is_passed_with_it(self, harness: GapsHarness) -> None:
        """A poll that is full moves over the offsets without a record that follow."""
        place, now = harness.partitions[0], int(time.time() * 1000)
        for number in range(3):
            harness.produce(place, value(number), timestamp=now)
        end = harness.leave_gap(place)
        source = owning(harness)
        seen = 0
        for polled in polls(source, 1):
            seen += len(polled.records)
            if seen == 3:
                break
        assert polled.positions == {place: end}

    def test_records_behind_a_gap_come_once(self, harness: GapsHarness) -> None:
        """Whatever the limit and wherever gaps are, each record comes once, and in its order."""
        for partition in harness.partitions[:2]:
            for number in range(6):
                harness.produce(partition, value(number))
                if number % 2:
                    harness.leave_gap(partition)
        source = owning(harness)
        for limit in (1, 2, 3, 100):
            records = collect(source, 12, limit=limit)
            for partition in harness.partitions[:2]:
                mine = [record for record in records if record.partition == partition]
                assert [record.value for record in mine] == [value(n) for n in range(6)]
            source.seek_to_committed(set(harness.partitions))

    def test_an_aborted_transaction_is_never_read(self, harness: GapsHarness) -> None:
        """Records of an aborted transaction are never read, in any partition."""
        for partition in harness.partitions:
            harness.produce(partition, b"before")
        with suppress(Crash), harness.transaction() as produce:
            for partition in harness.partitions:
                produce(partition, b"aborted")
            raise Crash
        for partition in harness.partitions:
            harness.produce(partition, b"after")
        source = owning(harness)
        for limit in (1, 100):
            records = collect(source, 2 * len(harness.partitions), limit=limit)
            for partition in harness.partitions:
                mine = [record.value for record in records if record.partition == partition]
                assert mine == [b"before", b"after"]
            source.seek_to_committed(set(harness.partitions))

    def test_an_open_transaction_is_read_after_its_end(self, harness: GapsHarness) -> None:
        """Records of a transaction, and those after them, come once it is committed."""
        first, second = harness.partitions[:2]
        source = owning(harness)
        with harness.transaction() as produce:
            produce(first, b"in the transaction")
            harness.produce(first, b"behind it")
            harness.produce(second, b"beside it")
            assert [record.value for record in collect(source, 1)] == [b"beside it"]
            assert not source.poll(100).records
        assert [record.value for record in collect(source, 2)] == [
            b"in the transaction",
            b"behind it",
        ]

    def test_a_new_group_misses_what_expires_in_any_partition(self, harness: GapsHarness) -> None:
        """A new group commits where it begins in each partition, so it notices expired records."""
        for partition in harness.partitions:
            for number in range(3):
                harness.produce(partition, value(number))
        harness.close(owning(harness))
        for partition in harness.partitions:
            harness.expire(partition, 2)
        source = harness.open()
        wait_until_assigned(source, harness.partitions)
        for partition in harness.partitions:
            with pytest.raises(Unavailable) as caught:
                source.seek_to_committed({partition})
            assert caught.value.halt
            assert caught.value.code == "records-expired"

    def test_a_poll_for_nothing_passes_no_gap(self, harness: GapsHarness) -> None:
        """Offsets without a record are passed by a poll for records, and not by a poll of 0."""
        place = harness.partitions[0]
        source = owning(harness)
        end = harness.leave_gap(place)
        for _ in range(5):
            assert source.poll(0).positions == {}
        for polled in polls(source, 100):
            if polled.positions:
                break
        assert polled.positions == {place: end}


def stocked(
    harness: SourceHarness, source: MessageSource, place: Partition
) -> Iterator[PollResult]:
    """Polls that each bring one record of a partition, since there are always more of them."""
    stock = 50
    for number in range(stock):
        harness.produce(place, value(number))
    for number, polled in enumerate(polls(source, 1), stock):
        yield polled
        harness.produce(place, value(number))


def value(number: int) -> bytes:
    return b'{"messageId": "%d", "accountId": 1}' % number


def polls(source: MessageSource, limit: int) -> Iterator[PollResult]:
    """Poll after poll; missing the deadline fails the test."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        yield source.poll(limit)
    pytest.fail(f"not within {PATIENCE} seconds")


def collect(source: MessageSource, count: int, limit: int = 100) -> list[Record]:
    """Poll this number of records, and seek in assigned partitions; more records fail the test."""
    records: list[Record] = []
    for polled in polls(source, limit):
        if polled.assigned:
            source.seek_to_committed(polled.assigned)
        records += polled.records
        if len(records) >= count:
            break
    assert len(records) == count
    return records


def reach(source: MessageSource, count: int) -> dict[Partition, int]:
    """Poll this number of records, none of which is acknowledged; the positions behind them."""
    positions: dict[Partition, int] = {}
    for polled in polls(source, 100):
        positions.update(polled.positions)
        count -= len(polled.records)
        assert not source.drained()
        if count <= 0:
            return positions
    raise AssertionError("unreachable")


def owning(harness: SourceHarness) -> MessageSource:
    """A source that owns every partition and has sought to its committed offset."""
    source = harness.open()
    own(source, harness.partitions)
    return source


def own(source: MessageSource, partitions: Sequence[Partition]) -> None:
    """Wait until all these partitions are assigned, and seek to their committed offsets."""
    wait_until_assigned(source, partitions)
    source.seek_to_committed(set(partitions))


def wait_until_assigned(source: MessageSource, partitions: Sequence[Partition]) -> None:
    """Poll until all these partitions are reported as assigned."""
    missing = set(partitions)
    for polled in polls(source, 100):
        missing -= polled.assigned
        if not missing:
            break


def take_turns(
    members: Sequence[MessageSource], limits: Sequence[int] = (100, 100)
) -> Iterator[tuple[int, PollResult]]:
    """Poll all members at once, as processes do; yield the index of the member and its result.

    A consumer of kafka-python that is not in its poll when the group agrees asks for another round.
    """
    deadline = time.monotonic() + PATIENCE
    with ThreadPoolExecutor() as pool:
        while time.monotonic() < deadline:
            found = pool.map(lambda member, limit: member.poll(limit), members, limits)
            for who, polled in enumerate(list(found)):
                if polled.assigned:
                    members[who].seek_to_committed(polled.assigned)
                yield who, polled
    pytest.fail(f"not within {PATIENCE} seconds")


def note(owned: set[Partition], polled: PollResult) -> None:
    owned.difference_update(polled.revoked)
    owned.update(polled.assigned)
