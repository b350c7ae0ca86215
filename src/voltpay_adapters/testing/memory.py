"""Lists instead of topics."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from attrs import define, field

from voltpay_core.codec import Topics
from voltpay_core.errors import Fenced, Unavailable
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
    _ends: dict[Partition, int] | None = field(default=None, init=False)

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
        self._start()
        assigned, revoked = frozenset(self._assigned), frozenset(self._revoked)
        self._assigned, self._revoked = set(), set()
        records: list[Record] = []
        for partition, position in self._positions.items():
            wanted = limit - len(records)
            records += self._log.records(partition)[position : position + wanted]
        positions = {record.partition: record.offset + 1 for record in records}
        self._positions.update(positions)
        return PollResult(records, positions, assigned, revoked)

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Nobody waits: `assign` revokes at once."""

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
        """True when everything is acknowledged that was in the log when it was first polled."""
        return all(
            self._log.acknowledged.get(partition, 0) >= end
            for partition, end in self._start().items()
        )

    def lag(self) -> dict[Partition, int]:
        """Records of the assigned partitions that are not yet polled."""
        return {
            partition: len(self._log.records(partition)) - position
            for partition, position in self._positions.items()
        }

    def close(self) -> None:
        """Leave the group: another source over the log may be assigned the partitions."""
        self.assign(())

    def _start(self) -> dict[Partition, int]:
        if self._ends is None:
            self._ends = {place: len(records) for place, records in self._log.partitions.items()}
        return self._ends


@define(eq=False)
class MemoryPublisher:
    """An `EventPublisher` over a list; as with Kafka, what has failed stays failed until `reset`.

    Attributes:
        events: What has arrived, in order; several publishers can share it.
        prompt: Records arrive when they are sent; otherwise when they are awaited.
        longest: Bytes of a value, at most; a longer one is refused, which breaks the publisher.
        broken: Nothing arrives and nothing is acknowledged until `reset`.
    """

    events: list[ProducerRecord] = field(factory=list)
    prompt: bool = True
    longest: int = 1_000_000
    broken: bool = False
    _on_their_way: deque[ProducerRecord] = field(factory=deque, init=False)
    _sent: int = field(default=0, init=False)
    _arrived: int = field(default=0, init=False)
    _resets: int = field(default=0, init=False)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Send the events behind those that are on their way."""
        self._on_their_way.extend(events)
        self._sent += len(events)
        if self.prompt and not self.broken:
            self.arrive(len(self._on_their_way))
        return _Publication(self, self._sent, self._resets)

    def reset(self) -> None:
        """Drop what is on its way."""
        self._on_their_way.clear()
        self._sent = self._arrived
        self._resets += 1
        self.broken = False

    def close(self) -> None:
        """Drop what is on its way."""
        self.reset()

    def arrive(self, count: int) -> None:
        """Let that many records arrive, acknowledged or not."""
        for _ in range(min(count, len(self._on_their_way))):
            if len(self._on_their_way[0].value or b"") > self.longest:
                self.broken = True
                return
            self.events.append(self._on_their_way.popleft())
            self._arrived += 1

    def acknowledge(self, sent: int, resets: int) -> None:
        """Let the first `sent` records arrive and be acknowledged.

        Raises:
            Unavailable: One of them is refused, or the publisher is broken or was reset.
        """
        if not self.broken and resets == self._resets:
            self.arrive(sent - self._arrived)
        if self.broken or resets != self._resets:
            raise Unavailable("an event is not acknowledged")


@define(eq=False)
class _Publication:
    _publisher: MemoryPublisher
    _sent: int
    _resets: int
    _failure: Unavailable | None = field(default=None, init=False)
    _done: bool = field(default=False, init=False)

    def wait(self) -> None:
        """Return once acknowledged; what is done stays done, and what has failed stays failed."""
        if self._failure is not None:
            raise self._failure
        try:
            if not self._done:
                self._publisher.acknowledge(self._sent, self._resets)
        except Unavailable as failure:
            self._failure = failure
            raise
        self._done = True
