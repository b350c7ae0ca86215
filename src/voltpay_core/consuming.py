"""The consuming loop: the steps of a batch, and the take-over after every failure."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import partial

from attrs import define, evolve, field, frozen

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec
from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.fencing import FencingGuard
from voltpay_core.grouping import by_account, commit_units
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.notices import (
    BatchDecoded,
    BatchDone,
    Idle,
    Observer,
    Polled,
    RejectionsCounted,
    TakenOver,
    UnitCommitted,
    ignore,
)
from voltpay_core.outcomes import DeadLettered, Decoded, Duplicate, Tally, WarmedUp, Written
from voltpay_core.ports import (
    BeginUnitOfWork,
    EventPublisher,
    MessageSource,
    PollResult,
    Retry,
)
from voltpay_core.records import Partition, Record
from voltpay_core.relaying import OutboxRelay
from voltpay_core.writer import Committed, PaymentWriter

BATCH_SIZE = 1000
"""The default for the number of records in a batch, at most."""


@frozen
class _WrittenBatch:
    """A batch that is committed; its events are sent, but maybe not acknowledged.

    Attributes:
        publications: The number of its publications, one for each commit unit.
        total: The tally up to this batch.
    """

    polled: PollResult
    publications: int
    total: Tally

    def without(self, partitions: Collection[Partition]) -> _WrittenBatch:
        """The same batch without the records and positions of these partitions."""
        positions = self.polled.positions.items()
        kept = evolve(
            self.polled,
            records=[r for r in self.polled.records if r.partition not in partitions],
            positions={p: offset for p, offset in positions if p not in partitions},
        )
        return evolve(self, polled=kept)


@define
class PaymentConsumer:
    """Consumes payments from a source into the database, and publishes their events.

    Attributes:
        begin: Opens a transaction.
        ids: Generates the ids of payments.
        now: The current time, for dead letters.
        retry: The retry policy for outages (G5).
        batch_size: Records in a batch, at most.
        commit_unit: Accounts in a transaction, at most; None for the entire batch.
        breaker: Stops the writer when the database rejects too many messages.
        overlap: Batches whose events may still be on their way while the next batch is written. It
            needs a publisher that sends without being waited for.
        notify: Called with each notice, for logs, progress and metrics.
        timer: Seconds of a clock that never goes back, from which notices tell how long steps took.
        total: The tally of all runs so far.
    """

    _source: MessageSource
    _begin: BeginUnitOfWork
    _publisher: EventPublisher
    _codec: Codec
    _ids: PaymentIdGenerator
    _now: Callable[[], datetime]
    _retry: Retry
    _batch_size: int = BATCH_SIZE
    _commit_unit: int | None = None
    _breaker: Breaker = field(factory=Breaker)
    _overlap: int = 0
    _notify: Observer = ignore
    _timer: Callable[[], float] = time.monotonic

    _writer: PaymentWriter = field(init=False)
    _relay: OutboxRelay = field(init=False)
    _epochs: dict[Partition, int] = field(factory=dict, init=False)
    _in_doubt: set[Partition] = field(factory=set, init=False)
    _unacknowledged: deque[_WrittenBatch] = field(factory=deque, init=False)
    _acknowledged: int = field(default=0, init=False)
    _drained: bool = field(default=False, init=False)
    _fencing: FencingGuard = field(factory=FencingGuard, init=False)
    total: Tally = field(factory=Tally, init=False)

    def __attrs_post_init__(self) -> None:
        self._writer = PaymentWriter(self._begin, self._codec, self._ids, self._now, self._breaker)
        self._relay = OutboxRelay(self._publisher, self._notify, self._timer)
        self._source.on_revoke(self._settle)

    def run(
        self,
        stop: Callable[[], bool],
        *,
        max_records: int | None = None,
        until_drained: bool = False,
    ) -> Tally:
        """Consume until `stop` returns true; the current batches are finished first.

        Args:
            stop: Called between batches; true ends the run.
            max_records: Stop after this number of records in this run.
            until_drained: Stop when the source is drained.

        Returns:
            The tally of all runs so far.

        Raises:
            Misconfigured: A setting cannot work.
            Unavailable: The retry policy gave up, or only a person can help (G5).
        """
        self._acknowledged, self._drained = 0, False
        while not (stop() or self._drained or self._acknowledged == max_records):
            self._retry(partial(self._turn, max_records, until_drained))
        self._retry(self._finish)
        return self.total

    def _turn(self, max_records: int | None, until_drained: bool) -> None:
        with self._taking_over_after_failures():
            if self._in_doubt:
                self._apply_rebalance(self._source.poll(0))
                self._take_over()
            limit = self._limit(max_records)
            if limit == 0:
                self._acknowledge()
                return
            started = self._timer()
            polled = self._source.poll(limit)
            self._apply_rebalance(polled)
            if polled.records:
                self._notify(Polled(polled.records, self._now(), self._timer() - started))
                self._process(polled)
            else:
                self._idle(polled)
                self._drained = until_drained and not self._in_doubt and self._source.drained()
            self._fencing = self._fencing.turn_finished()

    def _limit(self, max_records: int | None) -> int:
        if max_records is None:
            return self._batch_size
        in_hand = sum(len(batch.polled.records) for batch in self._unacknowledged)
        return min(self._batch_size, max_records - self._acknowledged - in_hand)

    @contextmanager
    def _taking_over_after_failures(self) -> Iterator[None]:
        try:
            yield
        except (Fenced, Unavailable) as failure:
            self._doubt_everything()
            if isinstance(failure, Unavailable):
                raise
            self._notify(failure)
            self._fencing = self._fencing.fenced(failure)
            self._fencing.check(failure)

    def _doubt_everything(self) -> None:
        """Put all partitions in doubt: the take-over reads again what is not acknowledged."""
        self._in_doubt |= self._epochs.keys()
        self._unacknowledged.clear()

    def _apply_rebalance(self, polled: PollResult) -> None:
        if polled.assigned or polled.revoked:
            self._fencing = self._fencing.rebalanced()
            self._forget(polled.assigned | polled.revoked)
        self._in_doubt = (self._in_doubt | polled.assigned) - polled.revoked
        for partition in polled.revoked:
            self._epochs.pop(partition, None)

    def _forget(self, partitions: Collection[Partition]) -> None:
        """Do not acknowledge records of these partitions: the next owner reads them again."""
        batches = [batch.without(partitions) for batch in self._unacknowledged]
        self._unacknowledged = deque(batches)

    def _process(self, polled: PollResult) -> None:
        """Process a poll: decode, group, write, publish; then acknowledge an older batch."""
        units = self._decode(polled.records)
        for unit in units:
            committed = self._write(unit)
            self._relay.publish(committed.events, committed.rows)
        self._unacknowledged.append(_WrittenBatch(polled, len(units), self.total))
        self._acknowledge(leave=self._overlap)

    def _decode(self, records: Sequence[Record]) -> list[list[Decoded]]:
        """Decode the records, count the warm-ups, and group the others into commit units."""
        started = self._timer()
        decoded = [self._codec.decode(record) for record in records]
        to_write: list[Decoded] = [item for item in decoded if not isinstance(item, WarmedUp)]
        units = list(commit_units(by_account(to_write), self._commit_unit))
        warm_ups = len(decoded) - len(to_write)
        self.total += Tally(warm_ups=warm_ups)
        self._notify(BatchDecoded(len(decoded), warm_ups, self._timer() - started))
        return units

    def _write(self, unit: Sequence[Decoded]) -> Committed:
        """Write a commit unit, and count its outcomes."""
        started, rejections = self._timer(), self._writer.breaker.rejections
        committed = self._writer.write(unit, self._epochs, self._relay.published)
        self._relay.forget_published()
        tally = _tally(committed)
        self.total += tally
        self._notify(UnitCommitted(tally, committed.outcomes, self._timer() - started))
        if (breaker := self._writer.breaker).rejections != rejections:
            self._notify(RejectionsCounted(breaker.rejections, breaker.limit))
        return committed

    def _acknowledge(self, leave: int = 0) -> None:
        """Acknowledge all batches but the last `leave`, in order, each after its events."""
        while len(self._unacknowledged) > leave:
            batch, *later = self._unacknowledged
            self._relay.wait(leave=sum(each.publications for each in later))
            started = self._timer()
            if batch.polled.positions:
                self._source.acknowledge(batch.polled.positions)
            self._unacknowledged.popleft()
            self._acknowledged += len(batch.polled.records)
            seconds = self._timer() - started
            self._notify(BatchDone(batch.total, self._source.lag(), seconds))

    def _settle(self) -> None:
        """Leave nothing to do again for the next owners of partitions (G2)."""
        self._acknowledge()
        self._delete_published()

    def _idle(self, polled: PollResult) -> None:
        self._settle()
        if polled.positions:
            self._source.acknowledge(polled.positions)
        self._notify(Idle(self._source.lag()))

    def _finish(self) -> None:
        with self._taking_over_after_failures():
            self._acknowledge()
        self._relay.settle()
        self._delete_published()

    def _delete_published(self) -> None:
        """Delete the published outbox rows now, because no next transaction follows soon."""
        if self._relay.published:
            with self._begin() as work:
                work.outbox.delete(self._relay.published)
            self._relay.forget_published()

    def _take_over(self) -> None:
        """Take ownership of the partitions in doubt: the recovery after every failure.

        The source finds its offsets first, so a process that cannot reach the group fences nobody.
        """
        if not self._relay.settle():
            self._doubt_everything()
        partitions = frozenset(self._in_doubt)
        if not partitions:
            return
        started = self._timer()
        self._source.seek_to_committed(partitions)
        with self._begin() as work:
            epochs = work.fence.bump_epochs(sorted(partitions))
            pending, node_id = work.outbox.pending(partitions), work.node_id
        republished = self._relay.publish_pending(pending)
        self._epochs.update(epochs)
        self._in_doubt -= partitions
        seconds = self._timer() - started
        self._notify(TakenOver(partitions, republished, node_id, seconds))


def _tally(committed: Committed) -> Tally:
    kinds = Counter(map(type, committed.outcomes))
    return Tally(
        written=kinds[Written],
        duplicates=kinds[Duplicate],
        dead_letters=kinds[DeadLettered],
        events=len(committed.events),
    )
