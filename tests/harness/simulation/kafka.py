"""Kafka as the writer sees it: a topic with a consumer group."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from attrs import define, field

from voltpay_core.errors import Fenced
from voltpay_core.ports import PollResult
from voltpay_core.records import Partition, Record


@define(eq=False)
class Group:
    """A topic and the one group that consumes it, as the brokers know them.

    Attributes:
        log: The offsets of each partition; one without a record is None.
        committed: The group's committed offsets.
        owners: The member that each partition is assigned to.
        moved: The generation in which a partition was assigned last.
        leaving: The next owners of partitions whose owners the group waits for.
        generation: Rises with every rebalance; members learn of it by a poll.
        acknowledging: Called with a partition and its committed offset, the old one and the new.
        wrong: Called with a sentence where a member does what it must not do.
        giving_up: Called with a partition after its owner has settled and before it moves.
    """

    log: dict[Partition, list[Record | None]]
    acknowledging: Callable[[Partition, int, int], None]
    wrong: Callable[[str], None]
    committed: dict[Partition, int] = field(factory=dict)
    owners: dict[Partition, Member] = field(factory=dict)
    moved: dict[Partition, int] = field(factory=dict)
    leaving: dict[Partition, Member] = field(factory=dict)
    generation: int = 0
    giving_up: Callable[[Partition], None] = field(default=lambda _: None)

    def append(self, record: Record | None, partition: Partition) -> None:
        """Put a record at a partition's end, or an offset without one."""
        offsets = self.log[partition]
        if record is not None:
            record = Record(partition, len(offsets), 0, record.key, record.value, record.headers)
        offsets.append(record)

    def rebalance(self, owners: Mapping[Partition, Member], *, anew: bool = False) -> None:
        """Assign the partitions; who owned one of them may still believe that it does.

        Args:
            anew: All of them are revoked before, as an eager assignor does it.
        """
        self.generation += 1
        self.leaving = {p: member for p, member in self.leaving.items() if p not in owners}
        for partition, owner in owners.items():
            if anew or self.owners.get(partition) is not owner:
                self.owners[partition] = owner
                self.moved[partition] = self.generation


@define(eq=False)
class Member:
    """A `MessageSource`: one member of the group, and what it believes.

    Attributes:
        owned: The partitions that its polls have reported as its own.
        sought: Those whose committed offsets it has found since its last poll.
        unowned: Those that it must take over before it writes, and may take over therefore.
        acknowledged: The number of records that it has acknowledged.
    """

    group: Group
    owned: set[Partition] = field(factory=set, init=False)
    sought: set[Partition] = field(factory=set, init=False)
    unowned: set[Partition] = field(factory=set, init=False)
    settle: Callable[[], None] = field(default=lambda: None, init=False)
    acknowledged: int = field(default=0, init=False)
    generation: int = field(default=0, init=False)
    _positions: dict[Partition, int] = field(factory=dict, init=False)
    _ends: dict[Partition, int] = field(init=False)
    _turn: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ends = {partition: len(log) for partition, log in self.group.log.items()}

    def poll(self, limit: int) -> PollResult:
        """Give up what the group waits for, learn of rebalances, and read in turn."""
        self._give_up()
        assigned, revoked = self._learn()
        self.sought.clear()
        records: list[Record] = []
        positions: dict[Partition, int] = {}
        self._turn += 1
        turn = self._turn % (len(self._positions) or 1)
        before = list(self._positions.items())
        for partition, position in before[turn:] + before[:turn]:
            after = _read(self.group.log[partition], position, records, limit)
            if after != position:
                positions[partition] = after
        self._positions.update(positions)
        return PollResult(records, positions, assigned, revoked)

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Settle before giving up partitions for which the group waits."""
        self.settle = settle

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Go on from the committed offsets."""
        self._check(partitions)
        for partition in self.group.log:
            if partition in partitions and partition in self.owned:
                self._positions[partition] = self.group.committed.get(partition, 0)
                self.sought.add(partition)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit the offsets."""
        self._check(positions.keys())
        group = self.group
        foreign = positions.keys() - self._positions.keys()
        if foreign:
            group.wrong("G5: a process acknowledges partitions that are not its own")
            raise Fenced(foreign, "they are assigned to another member")
        for partition, position in positions.items():
            before = group.committed.get(partition, 0)
            if position < before:
                group.wrong(f"G5: the committed offset of {partition} goes back")
            group.acknowledging(partition, before, position)
            group.committed[partition] = position
            self.acknowledged += sum(map(bool, group.log[partition][before:position]))

    def drained(self) -> bool:
        """True once everything is committed that was there when this member joined."""
        return all(
            self.group.committed.get(partition, 0) >= end for partition, end in self._ends.items()
        )

    def lag(self) -> dict[Partition, int]:
        """Nobody here looks at it."""
        return {}

    def has_learned(self) -> bool:
        """Whether it knows of the last rebalance."""
        return self.generation == self.group.generation

    def has_work(self) -> bool:
        """Whether it has to learn of a rebalance, to take over, or to acknowledge offsets."""
        log, committed = self.group.log, self.group.committed
        if not self.has_learned() or self._positions.keys() != self.owned or self._leaving():
            return True
        return any(committed.get(each, 0) < len(log[each]) for each in self.owned)

    def in_hand(self) -> set[Partition]:
        """The partitions of which it has polled more than is acknowledged."""
        committed = self.group.committed
        return {
            partition
            for partition, position in self._positions.items()
            if position != committed.get(partition, 0)
        }

    def close(self) -> None:
        """Nothing is sent: who leaves is told by the scheduler."""

    def _leaving(self) -> dict[Partition, Member]:
        group = self.group
        return {p: member for p, member in group.leaving.items() if group.owners.get(p) is self}

    def _give_up(self) -> None:
        group = self.group
        if not self._leaving() or not self.has_learned():
            return
        try:
            self.settle()
            for partition in self._leaving().keys() & self._positions.keys() - self.unowned:
                if self._positions[partition] != group.committed.get(partition, 0):
                    group.wrong(f"G2: what was read from {partition} is left to its next owner")
                group.giving_up(partition)
        finally:
            group.rebalance(self._leaving())

    def _learn(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        group = self.group
        if self.has_learned():
            return frozenset(), frozenset()
        current = {partition for partition, owner in group.owners.items() if owner is self}
        assigned = {
            partition
            for partition in current
            if partition not in self.owned or group.moved[partition] > self.generation
        }
        revoked = self.owned - current
        for partition in assigned | revoked:
            self._positions.pop(partition, None)
        self.owned, self.generation = current, group.generation
        self.unowned |= assigned
        return frozenset(assigned), frozenset(revoked)

    def _check(self, partitions: Collection[Partition]) -> None:
        if not self.has_learned():
            raise Fenced(partitions, "the group is rebalancing")


def _read(log: list[Record | None], position: int, records: list[Record], limit: int) -> int:
    """Read on until the limit is reached, and return the next position."""
    while limit and position < len(log) and (log[position] is None or len(records) < limit):
        if (record := log[position]) is not None:
            records.append(record)
        position += 1
    return position
