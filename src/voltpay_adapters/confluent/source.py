"""A member of a consumer group that reads the input topic, by librdkafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from uuid import UUID

from attrs import define, field
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from voltpay_adapters.confluent.bounded import BoundedCalls
from voltpay_adapters.confluent.connection import (
    METADATA_MS,
    TIMEOUT,
    ConfluentConnection,
    failure,
    is_final,
    translate_errors,
)
from voltpay_adapters.confluent.records import record_of
from voltpay_adapters.confluent.topic_admin import ConfluentTopicAdmin
from voltpay_adapters.confluent.topic_watch import TopicWatch
from voltpay_adapters.kafka.defaults import BATCH_BYTES
from voltpay_adapters.kafka.failures import no_topic, not_assigned, topic_replaced
from voltpay_adapters.kafka.resuming import is_of_another, mark, resume_at
from voltpay_core.errors import Fenced, Misconfigured, Unavailable
from voltpay_core.ports import PollResult
from voltpay_core.records import Partition, Record

SESSION_MS = 10_000
"""How long a member may be silent, in milliseconds."""

_MOST = 1_000_000
"""Messages that one call of librdkafka returns, at most."""

_END = 3.0
"""Seconds to wait until a partition's end is known; a broker that is not busy needs 0.1."""

_SLICE = 0.1
"""Seconds of one call, during which a rebalance is not noticed."""

_FETCHES = 4
"""Fetches that fit into the bytes of a batch: one in the queue, and one more from each broker."""

_NO_TOPIC = {
    KafkaError.UNKNOWN_TOPIC_ID,
    KafkaError.UNKNOWN_TOPIC_OR_PART,
    KafkaError._UNKNOWN_PARTITION,
    KafkaError._UNKNOWN_TOPIC,
}


@define
class _Rebalance:
    """Records assigned and revoked partitions; librdkafka calls it during a poll.

    An assigned partition is not read until `seek_to_committed` starts it, so that no fetched
    record has to be dropped.
    """

    settle: Callable[[], None] = field(default=lambda: None, init=False)
    settling: bool = field(default=False, init=False)
    owned: set[int] = field(factory=set, init=False)
    started: set[int] = field(factory=set, init=False)
    assigned: set[int] = field(factory=set, init=False)
    revoked: set[int] = field(factory=set, init=False)

    def on_assign(self, consumer: Consumer, tps: Iterable[TopicPartition]) -> None:
        numbers = {tp.partition for tp in tps}
        self.owned |= numbers
        self.assigned |= numbers
        consumer.incremental_assign([])  # agrees to the assignment

    def on_revoke(self, consumer: Consumer, tps: Iterable[TopicPartition]) -> None:
        self.settling = True
        try:
            self.settle()
        finally:
            self.settling = False
            self.on_lost(consumer, tps)

    def on_lost(self, consumer: Consumer, tps: Iterable[TopicPartition]) -> None:
        tps = list(tps)
        consumer.incremental_unassign([tp for tp in tps if tp.partition in self.started])
        self.lose({tp.partition for tp in tps})

    def lose(self, numbers: Collection[int]) -> None:
        self.owned.difference_update(numbers)
        self.started.difference_update(numbers)
        self.assigned.difference_update(numbers)
        self.revoked.update(numbers)

    @property
    def news(self) -> bool:
        """Whether there are changes to report."""
        return bool(self.assigned or self.revoked)

    def clear(self) -> None:
        self.assigned, self.revoked = set(), set()


@define
class ConfluentSource:
    """A `MessageSource` over one topic: a member of a consumer group, connected when first polled.

    Attributes:
        batch_bytes: The approximate size of fetched records, in bytes, which bounds a batch.
        poll_timeout: Seconds that a poll waits for records.
        bounded: Read only up to the end offsets seen at start-up.
        skip_expired: Continue after records that expired before they were read.
        notify: Called with a sentence about what was skipped.
    """

    _connection: ConfluentConnection
    _topic: str
    _group: str
    _batch_bytes: int = BATCH_BYTES
    _poll_timeout: float = 0.5
    _bounded: bool = False
    _skip_expired: bool = False
    _notify: Callable[[str], None] = lambda _: None
    _rebalance: _Rebalance = field(factory=_Rebalance, init=False)
    _commits: BoundedCalls = field(factory=lambda: BoundedCalls(TIMEOUT), init=False)
    _opened: Consumer | None = field(default=None, init=False)
    _admin: ConfluentTopicAdmin | None = field(default=None, init=False)
    _watch: TopicWatch = field(init=False)
    _partitions: list[Partition] = field(factory=list, init=False)
    _topic_id: UUID | None = field(default=None, init=False)
    _positions: dict[int, int] = field(factory=dict, init=False)
    _held: list[Message] = field(factory=list, init=False)
    _ends: dict[int, int] = field(factory=dict, init=False)
    _ends_at_seek: dict[int, int] = field(factory=dict, init=False)
    _failure: Exception | None = field(default=None, init=False)

    def poll(self, limit: int) -> PollResult:
        """The next records of the assigned partitions whose position is known."""
        with translate_errors(f"reading {self._topic}"):
            consumer = self._consumer()
            self._check_failure()
            if self._watch.has_changed():
                raise self._lose_topic()
            messages = self._fetch(consumer, limit) if limit else self._wait(consumer)
            assigned = self._rebalance.assigned
            revoked = self._rebalance.revoked - assigned
            for number in assigned | revoked:
                self._positions.pop(number, None)
            for number in range(len(self._partitions), max(assigned, default=-1) + 1):
                self._partitions.append(self._partition(number))  # it was added to the topic
            records, moved = self._read(messages, limit)
            report = PollResult(
                records,
                self._move_on(moved),
                frozenset(self._partitions[number] for number in assigned),
                frozenset(self._partition(number) for number in revoked),
            )
            self._rebalance.clear()  # at the end: a poll that raises must not lose the changes
            return report

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Have polls call `settle` before partitions go to another member."""
        self._rebalance.settle = settle

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue from the group's committed offsets; without one, from the log's start.

        The start is committed at once, so that records which expire later are detected. The end of
        a skipped gap is committed at once, so that the gap is not reported again.
        """
        with translate_errors(f"finding the offsets of {self._group}", frozenset(partitions)):
            consumer, admin = self._consumer(), self._topic_admin()
            numbers = self._rebalance.owned & {partition.number for partition in partitions}
            if not numbers:
                return
            found = admin.describe(self._topic)
            if found is None or found.topic_id != self._topic_id:
                raise self._lose_topic()
            tps = [TopicPartition(self._topic, number) for number in sorted(numbers)]
            starts, ends = admin.starts(tps), admin.ends(tps)
            skip = self._notify if self._skip_expired else None
            new: dict[int, int] = {}
            for number, before in self._committed(tps).items():
                place = self._partition(number)
                position = resume_at(place, before, starts[number], ends[number], skip)
                if position != before:
                    new[number] = position
                starts[number] = position
            self._start(consumer, starts)
            self._ends_at_seek.update(ends)
            self._commit(new)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit these offsets."""
        foreign = [place for place in positions if place.number not in self._positions]
        if foreign:
            raise not_assigned(foreign)
        with translate_errors(f"committing offsets of {self._group}", frozenset(positions)):
            self._commit({place.number: offset for place, offset in positions.items()})

    def drained(self) -> bool:
        """True once the group's committed offsets reach the end offsets seen at start-up."""
        with translate_errors(f"finding the offsets of {self._group}"):
            self._consumer()
            left = [TopicPartition(self._topic, number) for number in self._ends]
            for number, offset in self._committed(left).items():
                if (offset or 0) >= self._ends[number]:
                    del self._ends[number]
        if self._ends:
            return False
        if (waiting := sum(self.lag().values())) and not self._bounded:
            self._notify(f"{waiting} offsets of {self._topic} wait for the end of a transaction")
        return True

    def lag(self) -> dict[Partition, int]:
        """Offsets up to the high-water mark, or until the first fetch up to the end at the seek."""
        consumer, ends = self._consumer(), self._ends_at_seek
        return {
            self._partitions[number]: max(
                0, max(self._high_water(consumer, number), ends[number]) - position
            )
            for number, position in self._positions.items()
        }

    def count_partitions(self) -> int:
        """The number of partitions of the topic.

        Raises:
            Unavailable: Kafka cannot be reached, or the topic does not exist (``no-topic``).
        """
        with translate_errors(f"looking up {self._topic}"):
            self._consumer()
        return len(self._partitions)

    def close(self) -> None:
        """Leave the group; it notices by itself if an offset commit has no answer yet."""
        self._close_consumer()
        self._admin = None

    def _fetch(self, consumer: Consumer, limit: int) -> list[Message]:
        """Wait for records, and take one more than the limit, which shows the next offset.

        Transactions and compaction leave offsets without a record. If the high-water mark is
        beyond a partition's last record, wait for its next record, or for the event that its end
        is reached.
        """
        deadline = time.monotonic() + self._poll_timeout
        messages, left = [*self._held], self._poll_timeout
        while not (have := _count(messages)) and left > 0 and not self._rebalance.news:
            messages += consumer.consume(1, min(left, _SLICE))
            left = deadline - time.monotonic()
        if have <= limit:
            messages += consumer.consume(min(limit + 1 - have, _MOST), 0)
            have = _count(messages)
        deadline = time.monotonic() + _END
        unsure = self._unsure(consumer, messages) if have <= limit else set()
        while unsure and have <= limit and (left := deadline - time.monotonic()) > 0:
            more = consumer.consume(1, left)
            messages += more
            have += _count(more)
            unsure.difference_update(message.partition() for message in more)
        self._held = []
        return messages

    def _unsure(self, consumer: Consumer, messages: Iterable[Message]) -> set[int | None]:
        last = {message.partition(): message for message in messages}
        return {
            number
            for number, message in last.items()
            if number in self._positions
            and message.error() is None
            and self._high_water(consumer, number) > message.offset() + 1
        }

    def _wait(self, consumer: Consumer) -> list[Message]:
        """Take no records: stop all partitions, and continue from their positions afterwards.

        Pausing them does not do: librdkafka may lose the records that it has fetched already.
        """
        started = self._rebalance.started
        consumer.incremental_unassign([TopicPartition(self._topic, n) for n in started])
        started.clear()
        try:
            events = consumer.consume(1, self._poll_timeout)
        finally:
            kept = self._positions.keys() & self._rebalance.owned
            self._start(consumer, {number: self._positions[number] for number in kept})
        self._held += [event for event in events if event.error() is not None]
        return []

    def _read(self, messages: list[Message], limit: int) -> tuple[list[Record], dict[int, int]]:
        """The records and the next positions; the rest is kept for the next poll."""
        records: list[Record] = []
        moved: dict[int, int] = {}
        for index, message in enumerate(messages):
            number, offset = message.partition(), message.offset()
            try:
                if self._holds_none(message):
                    if number in self._positions and offset >= 0:
                        moved[number] = offset
                    continue
                if number not in self._positions:
                    continue
                if len(records) == limit:
                    moved[number] = offset
                    self._held = messages[index:]
                    break
                if self._is_within(number, offset):
                    records.append(record_of(message, self._partitions[number]))
                moved[number] = offset + 1
            except (Fenced, Misconfigured, Unavailable) as problem:
                self._failure = problem
                if not records:
                    self._check_failure()
                break  # return the records first; the next poll raises
        return records, moved

    def _holds_none(self, message: Message) -> bool:
        """Whether a message is a harmless event of librdkafka, such as the end of a partition."""
        error = message.error()
        if error is None:
            return False
        if error.code() in _NO_TOPIC:
            self._watch.hurry()
        elif error.code() not in {KafkaError._PARTITION_EOF, KafkaError._MAX_POLL_EXCEEDED}:
            place = f"-{message.partition()}@{message.offset()}" if message.offset() >= 0 else ""
            raise failure(error, f"reading {self._topic}{place}")
        return True

    def _move_on(self, moved: Mapping[int, int]) -> dict[Partition, int]:
        """The positions after the records of this poll and after offsets without a record."""
        found = {
            number: reached
            for number, position in moved.items()
            if (reached := self._bound(number, position)) > self._positions[number]
        }
        self._positions.update(found)
        return {self._partitions[number]: position for number, position in found.items()}

    def _bound(self, number: int, position: int) -> int:
        return min(position, self._ends.get(number, 0)) if self._bounded else position

    def _is_within(self, number: int, offset: int) -> bool:
        return not self._bounded or offset < self._ends.get(number, 0)

    def _start(self, consumer: Consumer, positions: Mapping[int, int]) -> None:
        """Continue from these positions; drop what was fetched from others."""
        tps = [TopicPartition(self._topic, number, at) for number, at in positions.items()]
        started = self._rebalance.started
        consumer.incremental_unassign([tp for tp in tps if tp.partition in started])
        started.difference_update(positions)
        consumer.incremental_assign(tps)
        started.update(positions)
        self._held = [each for each in self._held if each.partition() not in positions]
        self._positions.update(positions)

    def _committed(self, tps: list[TopicPartition]) -> dict[int, int | None]:
        """The group's offsets; None if it has none, or one of a former topic of the same name."""
        if not tps:
            return {}
        found = self._consumer().committed(tps, timeout=TIMEOUT)
        return {
            tp.partition: None
            if tp.offset < 0 or is_of_another(tp.metadata or "", self._topic_id)
            else tp.offset
            for tp in found
        }

    def _commit(self, offsets: Mapping[int, int]) -> None:
        if not offsets:
            return  # librdkafka would commit stored offsets
        metadata = mark(self._topic_id)
        commit = partial(
            self._consumer().commit,
            offsets=[
                TopicPartition(self._topic, number, offset, metadata)
                for number, offset in offsets.items()
            ],
        )
        if self._rebalance.settling:  # another thread's call would wait until the poll returns
            commit(asynchronous=True)
            return
        # a silent coordinator would be waited for without end
        done = self._commits.make(partial(commit, asynchronous=False))
        for tp in done or ():
            if tp.error is not None:
                partitions = frozenset(map(self._partition, offsets))
                raise failure(tp.error, f"committing offsets of {self._group}", partitions)

    def _high_water(self, consumer: Consumer, number: int) -> int:
        tp = TopicPartition(self._topic, number)
        known = consumer.get_watermark_offsets(tp, cached=True)
        return known[1] if known else 0

    def _consumer(self) -> Consumer:
        if self._opened is None:
            admin = self._topic_admin()
            found = admin.describe(self._topic)
            if found is None:
                raise no_topic(self._topic)
            tps = [TopicPartition(self._topic, n) for n in range(found.shape.partitions)]
            starts, ends = admin.starts(tps), admin.ends(tps)
            self._ends = {number: end for number, end in ends.items() if end > starts[number]}
            self._partitions = [Partition(self._topic, tp.partition) for tp in tps]
            self._topic_id = found.topic_id
            self._watch = TopicWatch(admin, self._topic, found.topic_id, METADATA_MS / 1000)
            fetched = max(1024, self._batch_bytes // _FETCHES)
            consumer = self._connection.consumer(
                self._group,
                self._note,
                {
                    "fetch.max.bytes": fetched,
                    "fetch.queue.backoff.ms": 20,  # the queue is short, and soon has room
                    "fetch.wait.max.ms": 100,  # after which the end of a partition is reported
                    "heartbeat.interval.ms": 1000,  # its answer announces a rebalance
                    "queued.max.messages.kbytes": fetched // 1024,
                    "receive.message.max.bytes": max(100_000_000, 2 * self._batch_bytes),
                    "session.timeout.ms": SESSION_MS,
                },
            )
            consumer.subscribe(
                [self._topic],
                on_assign=self._rebalance.on_assign,
                on_revoke=self._rebalance.on_revoke,
                on_lost=self._rebalance.on_lost,
            )
            self._opened = consumer
        return self._opened

    def _topic_admin(self) -> ConfluentTopicAdmin:
        if self._admin is None:
            self._admin = ConfluentTopicAdmin(self._connection.admin(), TIMEOUT)
        return self._admin

    def _note(self, error: KafkaError) -> None:
        if is_final(error):
            self._failure = failure(error, f"reading {self._topic}")

    def _check_failure(self) -> None:
        """Raise the failure that was met; nothing is read after it until a seek."""
        found, self._failure = self._failure, None
        if found is not None:
            self._held = []
            self._positions.clear()
            raise found

    def _lose_topic(self) -> Unavailable:
        """Leave the group because the topic was deleted or replaced; the next poll joins again."""
        self._rebalance.lose(self._rebalance.owned | self._positions.keys())
        self._close_consumer()
        return topic_replaced(self._topic)

    def _close_consumer(self) -> None:
        self._held = []
        self._positions.clear()
        if self._opened is not None:
            settle, self._rebalance.settle = self._rebalance.settle, lambda: None
            if not self._commits.is_busy:
                self._opened.close()
            self._opened, self._rebalance.settle = None, settle

    def _partition(self, number: int) -> Partition:
        return Partition(self._topic, number)


def _count(messages: Iterable[Message]) -> int:
    return sum(message.error() is None for message in messages)
