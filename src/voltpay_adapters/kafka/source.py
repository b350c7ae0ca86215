"""A member of a consumer group that reads the input topic."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

from attrs import define, field
from kafka import ConsumerRebalanceListener, KafkaConsumer, TopicPartition
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from kafka.errors import (
    CorruptRecordError,
    IllegalStateError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
    UnsupportedCodecError,
)

from voltpay_adapters.kafka import quirks
from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.defaults import BATCH_BYTES
from voltpay_adapters.kafka.failures import no_topic, not_assigned, topic_replaced
from voltpay_adapters.kafka.lookahead import Lookahead
from voltpay_adapters.kafka.offsets import (
    TIMEOUT_MS,
    committed,
    find_offsets,
    marked,
)
from voltpay_adapters.kafka.quirks import topic_id
from voltpay_adapters.kafka.resuming import resume_at
from voltpay_core.errors import Unavailable
from voltpay_core.ports import PollResult
from voltpay_core.records import Partition, Record

SESSION_MS = 10_000
"""How long a member may be silent. During a rebalance the coordinator delays every other request
until a silent member times out, so this must be shorter than the request timeout."""


class _RebalanceListener(ConsumerRebalanceListener):  # type: ignore[misc]
    """Records assigned and revoked partitions; the client's I/O thread calls it: never block."""

    def __init__(self) -> None:
        self.assigned: set[TopicPartition] = set()
        self.revoked: set[TopicPartition] = set()

    def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        self.assigned.update(assigned)

    def on_partitions_revoked(self, revoked: Iterable[TopicPartition]) -> None:
        self.revoked.update(revoked)
        self.assigned.difference_update(revoked)

    on_partitions_lost = on_partitions_revoked

    def clear(self) -> None:
        self.assigned, self.revoked = set(), set()


@define
class KafkaSource:
    """A `MessageSource` over one topic: a member of a consumer group, connected when first polled.

    Attributes:
        batch_bytes: The largest fetch from one broker, in bytes, which bounds a batch.
        poll_timeout: Seconds that a poll waits for records.
        bounded: Read only up to the end offsets seen at start-up.
        skip_expired: Continue after records that expired before they were read.
        notify: Called with a sentence about what was skipped.
    """

    _connection: KafkaConnection
    _topic: str
    _group: str
    _batch_bytes: int = BATCH_BYTES
    _poll_timeout: float = 0.5
    _bounded: bool = False
    _skip_expired: bool = False
    _notify: Callable[[str], None] = lambda _: None
    _rebalance: _RebalanceListener = field(factory=_RebalanceListener, init=False)
    _opened: KafkaConsumer | None = field(default=None, init=False)
    _ahead: Lookahead = field(init=False)
    _topic_id: UUID | None = field(default=None, init=False)
    _positions: dict[TopicPartition, int] = field(factory=dict, init=False)
    _ends: dict[TopicPartition, int] = field(factory=dict, init=False)
    _ends_at_seek: dict[TopicPartition, int] = field(factory=dict, init=False)

    def poll(self, limit: int) -> PollResult:
        """The next records of the assigned partitions whose position is known."""
        with translate_errors(f"reading {self._topic}"):
            found = self._fetch(limit)
            self._check_topic()
            assigned, revoked = (
                self._rebalance.assigned,
                self._rebalance.revoked - self._rebalance.assigned,
            )
            for tp in assigned | revoked:
                self._positions.pop(tp, None)
            report = PollResult(
                [
                    record
                    for tp in found
                    if tp in self._positions
                    for record in records_of(tp, found[tp])
                    if self._is_within(tp, record.offset)
                ],
                self._move_on() if limit else {},
                frozenset(map(_partition, assigned)),
                frozenset(map(_partition, revoked)),
            )
            self._rebalance.clear()  # at the end: a poll that raises must not lose the changes
            return report

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Nobody waits: the client's I/O thread gives partitions up, and must not be blocked."""

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue from the group's committed offsets; without one, from the log's start.

        The start is committed at once, so that records which expire later are detected. The end of
        a skipped gap is committed at once, so that the gap is not reported again.
        """
        with translate_errors(f"finding the offsets of {self._group}", frozenset(partitions)):
            consumer = self._consumer()
            tps = consumer.assignment().intersection(map(_topic_partition, partitions))
            starts = find_offsets(consumer.beginning_offsets, tps)
            ends = find_offsets(consumer.end_offsets, tps)
            self._ahead.forget(tps)
            new: dict[TopicPartition, int] = {}
            for tp, start in starts.items():
                before = committed(consumer, tp)
                position = resume_at(_partition(tp), before, start, ends[tp], self._skip())
                if position != before:
                    new[tp] = position
                consumer.seek(tp, position)
                self._positions[tp], self._ends_at_seek[tp] = position, ends[tp]
            if new:
                self._commit(new)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit these offsets."""
        foreign = [
            partition
            for partition in positions
            if _topic_partition(partition) not in self._positions
        ]
        if foreign:
            raise not_assigned(foreign)
        with translate_errors(f"committing offsets of {self._group}", frozenset(positions)):
            self._commit({_topic_partition(p): offset for p, offset in positions.items()})

    def drained(self) -> bool:
        """True once the group's committed offsets reach the end offsets seen at start-up."""
        with translate_errors(f"finding the offsets of {self._group}"):
            for tp in list(self._ends):
                if (committed(self._consumer(), tp) or 0) < self._ends[tp]:
                    return False
                del self._ends[tp]
        if (waiting := sum(self.lag().values())) and not self._bounded:
            self._notify(f"{waiting} offsets of {self._topic} wait for the end of a transaction")
        return True

    def lag(self) -> dict[Partition, int]:
        """Offsets up to the high-water mark, or until the first fetch up to the end at the seek."""
        return {
            _partition(tp): max(0, self._known_end(tp) - position)
            for tp, position in self._positions.items()
        }

    def count_partitions(self) -> int:
        """The number of partitions of the topic.

        Raises:
            Unavailable: Kafka cannot be reached, or the topic does not exist (``no-topic``).
        """
        with translate_errors(f"looking up {self._topic}"):
            return len(self._consumer().partitions_for_topic(self._topic))

    def close(self) -> None:
        """Leave the group."""
        if self._opened is not None:
            self._opened.close(autocommit=False, timeout_ms=5_000)
            self._opened = None

    def _fetch(self, limit: int) -> Mapping[TopicPartition, list[Any]]:
        consumer = self._consumer()
        quirks.resume_join(consumer)
        paused = consumer.assignment() if limit == 0 else set()
        consumer.pause(*paused)
        poll_timeout = int(self._poll_timeout * 1000)
        try:
            if limit:
                return self._ahead.poll(poll_timeout, limit)
            consumer.poll(poll_timeout, max_records=1)
        except NoOffsetForPartitionError:
            pass  # a partition just assigned to a group that never acknowledged it
        except OffsetOutOfRangeError as error:
            if not self._positions.keys().isdisjoint(error.args[0]):
                raise
            # a partition just assigned whose records expired: `seek_to_committed` handles it
        except (CorruptRecordError, UnsupportedCodecError) as error:
            raise _unreadable(consumer, error) from error
        finally:
            consumer.resume(*(paused & consumer.assignment()))
        return {}

    def _check_topic(self) -> None:
        """Leave the group if the topic was deleted or replaced; the next poll joins again.

        Raises:
            Unavailable: The topic was deleted, or another one has its name.
        """
        consumer = self._consumer()
        if topic_id(consumer, self._topic) != self._topic_id:
            self._rebalance.on_partitions_revoked(consumer.assignment() | self._positions.keys())
            self._positions.clear()
            self.close()
            raise topic_replaced(self._topic)

    def _commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        self._consumer().commit(
            {tp: marked(offset, self._topic_id) for tp, offset in offsets.items()},
            timeout_ms=TIMEOUT_MS,
        )

    def _consumer(self) -> KafkaConsumer:
        if self._opened is None:
            consumer = self._connection.consumer(
                auto_offset_reset="none",  # an offset out of range must raise, not be skipped
                fetch_max_bytes=self._batch_bytes,
                group_id=self._group,
                partition_assignment_strategy=[CooperativeStickyAssignor],
                session_timeout_ms=SESSION_MS,
            )
            try:
                self._ends = self._find_ends(consumer)
                consumer.subscribe([self._topic], listener=self._rebalance)
            except BaseException:
                consumer.close(autocommit=False, timeout_ms=0)
                raise
            self._opened, self._ahead = consumer, Lookahead(consumer)
            self._topic_id = topic_id(consumer, self._topic)
        return self._opened

    def _find_ends(self, consumer: KafkaConsumer) -> dict[TopicPartition, int]:
        tps = [
            TopicPartition(self._topic, number)
            for number in consumer.partitions_for_topic(self._topic)
        ]
        if not tps:
            raise no_topic(self._topic)
        starts = find_offsets(consumer.beginning_offsets, tps)
        ends = find_offsets(consumer.end_offsets, tps)
        return {tp: end for tp, end in ends.items() if end > starts[tp]}

    def _move_on(self) -> dict[Partition, int]:
        """The positions after the records of this poll and after offsets without a record."""
        reached = self._ahead.positions()
        moved = {
            tp: position
            for tp, before in self._positions.items()
            if (position := self._bound(tp, reached.get(tp, before))) > before
        }
        self._positions.update(moved)
        return {_partition(tp): position for tp, position in moved.items()}

    def _bound(self, tp: TopicPartition, position: int) -> int:
        return min(position, self._end(tp)) if self._bounded else position

    def _is_within(self, tp: TopicPartition, offset: int) -> bool:
        return not self._bounded or offset < self._end(tp)

    def _end(self, tp: TopicPartition) -> int:
        """A partition's end offset at start-up; 0 if it was empty, or is acknowledged up to it."""
        return self._ends.get(tp, 0)

    def _known_end(self, tp: TopicPartition) -> int:
        try:
            high_water = self._consumer().highwater(tp) or 0
        except IllegalStateError:  # just revoked; the next poll reports it
            high_water = 0
        return max(high_water, self._ends_at_seek[tp])

    def _skip(self) -> Callable[[str], None] | None:
        return self._notify if self._skip_expired else None


def _unreadable(consumer: KafkaConsumer, error: Exception) -> Unavailable:
    where = "a record"
    if (found := quirks.unreadable_record(consumer)) is not None:
        tp, offset = found
        where = f"{tp.topic}-{tp.partition}@{offset}"
    return Unavailable(
        f"Kafka: cannot read or decompress {where} ({type(error).__name__});"
        " to read the records after it, move the group's offset past it",
        halt=True,
    )


def _topic_partition(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def _partition(tp: TopicPartition) -> Partition:
    return Partition(tp.topic, tp.partition)


def records_of(tp: TopicPartition, polled: Iterable[Any]) -> Iterator[Record]:
    """Convert the client's records of a partition into the core's."""
    partition = _partition(tp)
    for record in polled:
        yield Record(
            partition,
            record.offset,
            record.timestamp,
            record.key,
            record.value,
            tuple(record.headers),
        )
