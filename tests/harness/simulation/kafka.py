"""Kafka as the writer sees it: a topic with a consumer group."""

from __future__ import annotations

from collections.abc import Collection, Mapping

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
        generation: Rises with every rebalance; members learn of it by a poll.
    """

    log: dict[Partition, list[Record | None]]
    committed: dict[Partition, int] = field(factory=dict)
    owners: dict[Partition, Member] = field(factory=dict)
    moved: dict[Partition, int] = field(factory=dict)
    generation: int = 0

    def append(self, record: Record | None, partition: Partition) -> None:
        """Put a record at a partition's end, or an offset without one."""
        offsets = self.log[partition]
        if record is not None:
            record = Record(partition, len(offsets), 0, record.key, record.value, record.headers)
        offsets.append(record)

    def rebalance(self, owners: Mapping[Partition, Member]) -> None:
        """Assign the partitions; who owned one of them may still believe that it does."""
        self.generation += 1
        for partition, owner in owners.items():
            if self.owners.get(partition) is not owner:
                self.owners[partition] = owner
                self.moved[partition] = self.generation


@define(eq=False)
class Member:
    """A `MessageSource`: one member of the group, and what it believes.

    Attributes:
        owned: The partitions that its polls have reported as its own.
        sought: Those whose committed offsets it has found since its last poll.
    """

    group: Group
    owned: set[Partition] = field(factory=set, init=False)
    sought: set[Partition] = field(factory=set, init=False)
    generation: int = field(default=0, init=False)
    _positions: dict[Partition, int] = field(factory=dict, init=False)
    _ends: dict[Partition, int] = field(init=False)
    _turn: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._ends = {partition: len(log) for partition, log in self.group.log.items()}

    def poll(self, limit: int) -> PollResult:
        """Learn of the last rebalance, and read from the partitions in turn."""
        assigned, revoked = self._learn()
        self.sought.clear()
        records: list[Record] = []
        positions: dict[Partition, int] = {}
        self._turn += 1
        turn = self._turn % (len(self._positions) or 1)
        partitions = list(self._positions)
        for partition in partitions[turn:] + partitions[:turn]:
            position = self._read(partition, records, limit)
            if position != self._positions[partition]:
                positions[partition] = self._positions[partition] = position
        return PollResult(records, positions, assigned, revoked)

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Go on from the committed offsets."""
        self._check(partitions)
        for partition in self.owned.intersection(partitions):
            self._positions[partition] = self.group.committed.get(partition, 0)
            self.sought.add(partition)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit the offsets."""
        self._check(positions.keys())
        foreign = positions.keys() - self._positions.keys()
        if foreign:
            raise Fenced(foreign, "they are assigned to another member")
        self.group.committed.update(positions)

    def drained(self) -> bool:
        """True once everything is committed that was there when this member joined."""
        return all(
            self.group.committed.get(partition, 0) >= end for partition, end in self._ends.items()
        )

    def lag(self) -> int:
        """Offsets that are not polled."""
        return sum(
            len(self.group.log[partition]) - position
            for partition, position in self._positions.items()
        )

    def close(self) -> None:
        """Nothing is sent: who leaves is told by the scheduler."""

    def _learn(self) -> tuple[frozenset[Partition], frozenset[Partition]]:
        group = self.group
        if self.generation == group.generation:
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
        return frozenset(assigned), frozenset(revoked)

    def _check(self, partitions: Collection[Partition]) -> None:
        if self.generation != self.group.generation:
            raise Fenced(partitions, "the group is rebalancing")

    def _read(self, partition: Partition, records: list[Record], limit: int) -> int:
        log, position = self.group.log[partition], self._positions[partition]
        while position < len(log) and (log[position] is None or len(records) < limit):
            if limit == 0:
                break
            if (record := log[position]) is not None:
                records.append(record)
            position += 1
        return position
