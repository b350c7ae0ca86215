"""Lists instead of topics."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

from attrs import define, field

from voltpay_adapters.local.files import Acknowledged
from voltpay_core.codec import Topics
from voltpay_core.errors import Fenced
from voltpay_core.ports import PollResult, Publication
from voltpay_core.records import Headers, Partition, ProducerRecord, Record


@define
class MemoryLog:
    """An input topic: records by partition, and the acknowledged offsets of a consumer group.

    Attributes:
        acknowledged: The next offset of each partition; a missing one means the beginning.
    """

    topic: str = Topics().writer
    partitions: dict[Partition, list[Record]] = field(factory=dict)
    acknowledged: dict[Partition, int] = field(factory=dict)

    def append(
        self,
        value: bytes | None,
        *,
        key: bytes | None,
        partition: int = 0,
        timestamp: int | None = None,
        headers: Headers = (),
    ) -> Record:
        """Append a record to a partition, which is created if missing."""
        at = Partition(self.topic, partition)
        records = self.partitions.setdefault(at, [])
        record = Record(at, len(records), timestamp, key, value, headers)
        records.append(record)
        return record

    def extend(self, produced: Iterable[ProducerRecord]) -> None:
        """Put these records at the ends of their partitions; without one they go to partition 0."""
        for record in produced:
            self.append(
                record.value,
                key=record.key,
                partition=record.partition or 0,
                timestamp=record.timestamp,
                headers=record.headers,
            )

    def records(self, partition: Partition) -> list[Record]:
        """All records of a partition, which may be empty."""
        return self.partitions.get(partition, [])


@define
class MemorySource:
    """A `MessageSource` over a log; several can share it, and the caller assigns the partitions.

    Attributes:
        owned: The assigned partitions.
    """

    _log: MemoryLog
    owned: set[Partition] = field(factory=set, init=False)
    _assigned: set[Partition] = field(factory=set, init=False)
    _revoked: set[Partition] = field(factory=set, init=False)
    _positions: dict[Partition, int] = field(factory=dict, init=False)

    def assign(self, partitions: Iterable[Partition]) -> None:
        """Assign exactly these partitions from the next poll on."""
        wanted = set(partitions)
        self._assigned = (self._assigned | (wanted - self.owned)) & wanted
        self._revoked = (self._revoked | (self.owned - wanted)) - wanted
        for partition in self.owned - wanted:
            self._positions.pop(partition, None)
        self.owned = wanted

    def poll(self, limit: int) -> PollResult:
        """Return at most `limit` records, without waiting."""
        assigned, revoked = frozenset(self._assigned), frozenset(self._revoked)
        self._assigned, self._revoked = set(), set()
        records: list[Record] = []
        for partition, position in self._positions.items():
            wanted = limit - len(records)
            records += self._log.records(partition)[position : position + wanted]
        positions = {record.partition: record.offset + 1 for record in records}
        self._positions.update(positions)
        return PollResult(records, positions, assigned, revoked)

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue from the acknowledged offsets."""
        for partition in self.owned.intersection(partitions):
            self._positions[partition] = self._log.acknowledged.get(partition, 0)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Store the offsets in the log."""
        foreign = positions.keys() - self.owned
        if foreign:
            raise Fenced(foreign, "they were assigned to another member")
        self._log.acknowledged.update(positions)

    def drained(self) -> bool:
        """True when everything in the log is acknowledged."""
        return all(
            self._log.acknowledged.get(partition, 0) >= len(records)
            for partition, records in self._log.partitions.items()
        )

    def lag(self) -> int:
        """Records of the assigned partitions that are not yet polled."""
        return sum(
            len(self._log.records(partition)) - position
            for partition, position in self._positions.items()
        )

    def close(self) -> None:
        """Leave the group: another source over the log may be assigned the partitions."""
        self.assign(())


@define
class MemoryPublisher:
    """An `EventPublisher` that keeps the published records, in order."""

    events: list[ProducerRecord] = field(factory=list)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Append the events."""
        self.events += events
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Nothing is open."""
