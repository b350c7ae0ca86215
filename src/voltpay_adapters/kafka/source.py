"""A consumer group over the writer topic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from attrs import define, field
from kafka import ConsumerRebalanceListener, KafkaConsumer, OffsetAndMetadata, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CorruptRecordError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from voltpay_adapters.kafka.connection import KafkaConnection, translated
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.messages import Partition, Record
from voltpay_core.ports import Polled

TIME_OUT_MS = 15_000
"""For one answer of the group's coordinator."""

SESSION_MS = 10_000
"""How long a member may be silent; while its group waits for it, whatever else the others ask the
coordinator waits as well, so it is less than the time-out of that."""


class _Notes(ConsumerRebalanceListener):  # type: ignore[misc]
    """Notes what a rebalance does: it runs on the client's I/O thread, where nothing may block."""

    def __init__(self) -> None:
        self.gained: set[TopicPartition] = set()
        self.lost: set[TopicPartition] = set()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.gained.update(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.lost.update(revoked)
        self.gained.difference_update(revoked)

    on_partitions_lost = on_partitions_revoked

    def clear(self) -> None:
        self.gained, self.lost = set(), set()


@define
class KafkaSource:
    """A `MessageSource` over one topic: a member of a consumer group, connected when first polled.

    Attributes:
        batch_bytes: Most bytes fetched at a time from one broker, which bounds a batch.
        patience: Seconds that a poll waits for records.
        bounded: Read no further than the partitions' ends at the start.
        skip_expired: Go on where records expired before they were read.
        notify: Told in a sentence what was skipped.
    """

    _connection: KafkaConnection
    _topic: str
    _group: str
    _batch_bytes: int = 16 * 1024 * 1024
    _patience: float = 0.5
    _bounded: bool = False
    _skip_expired: bool = False
    _notify: Callable[[str], None] = lambda _: None
    _notes: _Notes = field(factory=_Notes, init=False)
    _opened: KafkaConsumer | None = field(default=None, init=False)
    _positions: dict[TopicPartition, int] = field(factory=dict, init=False)
    _ends: dict[TopicPartition, int] = field(factory=dict, init=False)

    def poll(self, limit: int) -> Polled:
        """The next records of the partitions that are ours and rewound."""
        with translated(f"reading {self._topic}"):
            found = self._fetch(limit)
            gained, lost = self._notes.gained, self._notes.lost - self._notes.gained
            for place in gained | lost:
                self._positions.pop(place, None)
            polled = {
                place: records
                for place in found
                if place in self._positions and (records := self._within(place, found[place]))
            }
            report = Polled(
                [record for place in polled for record in records_of(place, polled[place])],
                self._move_on(polled) if limit else {},
                frozenset(map(_partition, gained)),
                frozenset(map(_partition, lost)),
            )
            self._notes.clear()  # not before: a poll that raised has reported nothing
            return report

    def rewind(self, partitions: Collection[Partition]) -> None:
        """Go on from the group's committed offsets; without one, from the log's start.

        That start is committed at once, so that what expires from now on is missed; and so is the
        end of a gap that is skipped, so that it is not missed again.
        """
        with translated(f"finding the offsets of {self._group}", frozenset(partitions)):
            consumer = self._consumer()
            places = consumer.assignment().intersection(map(_place, partitions))
            starts = find_offsets(consumer.beginning_offsets, places)
            ends = find_offsets(consumer.end_offsets, places)
            new: dict[TopicPartition, int] = {}
            for place, start in starts.items():
                committed = consumer.committed(place, timeout_ms=TIME_OUT_MS)
                if committed is None:
                    new[place] = start
                elif committed < start:
                    self._meet_expired(place, start - committed)
                    new[place] = start
                elif committed > ends[place]:
                    raise _lost(place, committed, ends[place])
                position = max(start, committed or 0)
                consumer.seek(place, position)
                self._positions[place] = position
            if new:
                self._commit(new)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit these offsets."""
        foreign = [partition for partition in positions if _place(partition) not in self._positions]
        if foreign:
            # the broker would accept them from any member of the group
            raise Fenced(foreign, "the group has assigned them anew")
        with translated(f"committing offsets of {self._group}", frozenset(positions)):
            self._commit({_place(p): offset for p, offset in positions.items()})

    def drained(self) -> bool:
        """True once the group's offsets reach the ends that the partitions had at the start."""
        with translated(f"finding the offsets of {self._group}"):
            for place in list(self._ends):
                committed = self._consumer().committed(place, timeout_ms=TIME_OUT_MS)
                if (committed or 0) < self._ends[place]:
                    return False
                del self._ends[place]
        return True

    def lag(self) -> int:
        """Records of our partitions below the brokers' high-water marks and not yet polled."""
        consumer = self._consumer()
        return sum(
            max(0, (consumer.highwater(place) or 0) - position)
            for place, position in self._positions.items()
        )

    def count_partitions(self) -> int:
        """How many partitions the topic has.

        Raises:
            Unavailable: Kafka cannot be reached, or (halt) there is no such topic.
        """
        with translated(f"looking up {self._topic}"):
            return len(self._consumer().partitions_for_topic(self._topic))

    def close(self) -> None:
        """Leave the group."""
        if self._opened is not None:
            self._opened.close(autocommit=False, timeout_ms=5_000)
            self._opened = None

    def _fetch(self, limit: int) -> Mapping[TopicPartition, Sequence[Any]]:
        found: Mapping[TopicPartition, Sequence[Any]] = {}
        consumer = self._consumer()
        if consumer._coordinator.rebalance_in_progress():
            consumer._coordinator.request_rejoin()  # kafka-python forgets joins that outlast a poll
        paused = consumer.assignment() if limit == 0 else set()
        consumer.pause(*paused)
        try:
            found = consumer.poll(self._patience * 1000, max_records=max(limit, 1))
        except NoOffsetForPartitionError:
            pass  # a partition just gained by a group that never acknowledged it
        except OffsetOutOfRangeError as error:
            if not self._positions.keys().isdisjoint(error.args[0]):
                raise
            # a partition just gained, whose records expired: `rewind` meets that
        except (CorruptRecordError, UnsupportedCodecError) as error:
            raise _unreadable(consumer, error) from error
        finally:
            consumer.resume(*(paused & consumer.assignment()))
        return found

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer().commit(
            {place: OffsetAndMetadata(offset, "", -1) for place, offset in offsets.items()},
            timeout_ms=TIME_OUT_MS,
        )

    def _consumer(self) -> KafkaConsumer:
        if self._opened is None:
            consumer = self._connection.consumer(
                auto_offset_reset="none",  # an offset out of range must be met, not skipped
                fetch_max_bytes=self._batch_bytes,
                group_id=self._group,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=SESSION_MS,
            )
            try:
                self._ends = self._find_ends(consumer)
                consumer.subscribe([self._topic], listener=self._notes)
            except BaseException:
                consumer.close(autocommit=False, timeout_ms=0)
                raise
            self._opened = consumer
        return self._opened

    def _find_ends(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        places = [
            TopicPartition(self._topic, number)
            for number in consumer.partitions_for_topic(self._topic)
        ]
        if not places:
            raise Unavailable(f"Kafka has no topic {self._topic}: run `voltpay topics create`")
        starts = find_offsets(consumer.beginning_offsets, places)
        ends = find_offsets(consumer.end_offsets, places)
        return {place: end for place, end in ends.items() if end > starts[place]}

    def _move_on(self, polled: Mapping[TopicPartition, Sequence[Any]]) -> dict[Partition, int]:
        """Behind the last records or, where none came, behind what was passed over unseen."""
        moved = {place: records[-1].offset + 1 for place, records in polled.items()}
        if not moved:
            moved = {
                place: position
                for place, before in self._positions.items()
                if (position := self._position(place)) is not None and position != before
            }
        if self._bounded:
            moved = {
                place: max(self._positions[place], min(position, self._end(place)))
                for place, position in moved.items()
            }
        self._positions.update(moved)
        return {_partition(place): position for place, position in moved.items()}

    def _within(self, place: TopicPartition, records: Sequence[Any]) -> Sequence[Any]:
        if not self._bounded:
            return records
        return [record for record in records if record.offset < self._end(place)]

    def _end(self, place: TopicPartition) -> int:
        """Where a partition ended at the start; 0 where there was nothing, or all of it is done."""
        return self._ends.get(place, 0)

    def _position(self, place: TopicPartition) -> int | None:
        with suppress(NoOffsetForPartitionError):  # of another one, which is yet to be rewound
            position: int | None = self._consumer().position(place, timeout_ms=TIME_OUT_MS)
            return position
        return None

    def _meet_expired(self, place: TopicPartition, count: int) -> None:
        lost = f"{count} records of {place.topic}-{place.partition} expired before they were read"
        if not self._skip_expired:
            raise Unavailable(f"{lost}: keep them longer, or go on with --skip-expired", halt=True)
        self._notify(f"{lost}; skipped")


def find_offsets(
    find: Callable[..., dict[TopicPartition, int]], places: Collection[TopicPartition]
) -> dict[TopicPartition, int]:
    """The starts or the ends of these partitions, as one of the client's methods finds them.

    Raises:
        Unavailable: A partition has no leader just now.
    """
    try:
        return find(list(places), timeout_ms=TIME_OUT_MS) if places else {}
    except KeyError:  # kafka-python leaves it out of its answers, and then misses it
        raise Unavailable("Kafka: a partition has no leader just now") from None


def _unreadable(consumer: KafkaConsumer, error: Exception) -> Unavailable:
    part = consumer._fetcher._next_partition_records  # kafka-python says nowhere else which it was
    where = "a record"
    if part is not None:
        place = part.topic_partition
        where = f"{place.topic}-{place.partition}@{part.next_fetch_offset}"
    return Unavailable(
        f"Kafka: cannot read {where} or what it is compressed with"
        f" ({type(error).__name__}): nothing behind it is read before the group's offset is moved",
        halt=True,
    )


def _lost(place: TopicPartition, committed: int, end: int) -> Unavailable:
    return Unavailable(
        f"Kafka: {place.topic}-{place.partition} ends at {end}, and {committed} is acknowledged:"
        " the topic has lost records, or is another one; set the group's offset before you go on",
        halt=True,
    )


def _place(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _partition(place: TopicPartition) -> Partition:
    return Partition(place.topic, place.partition)


def records_of(place: TopicPartition, polled: Iterable[Any]) -> Iterator[Record]:
    """The records of a partition as the core knows them."""
    partition = _partition(place)
    for record in polled:
        yield Record(
            partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )
