"""The consuming loop: eight steps for a batch, and the take-over for whatever is in doubt."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

from attrs import define, evolve, field, frozen

from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.grouping import by_account, commit_units
from voltpay_core.messages import Partition
from voltpay_core.outcomes import DeadLettered, Decoded, Duplicate, Outcome, WarmedUp, Written
from voltpay_core.ports import Begin, EventPublisher, MessageSource, Polled, Publication
from voltpay_core.wire import Wire, unpack
from voltpay_core.writer import Committed, Writer

Retry = Callable[[Callable[[], None]], None]
"""Calls its argument until that ends without `Unavailable`, waiting in between, within bounds."""


@frozen
class Tally:
    """How many records ended in which way (G6), and how many events were published for them."""

    written: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    warm_ups: int = 0
    events: int = 0

    @property
    def records(self) -> int:
        """All records that were acknowledged."""
        return self.written + self.duplicates + self.dead_letters + self.warm_ups


@frozen
class BatchDone:
    """A batch is written, published and acknowledged.

    Attributes:
        total: The whole run so far.
        lag: Records known and not yet polled.
    """

    total: Tally
    lag: int


@frozen
class TakenOver:
    """Partitions are ours now, and what a former owner left unpublished is published.

    Attributes:
        republished: Outbox rows that were waiting.
    """

    partitions: frozenset[Partition]
    republished: int


Notice = BatchDone | TakenOver


@define
class PaymentConsumer:
    """Takes payments from a source to the store, and their events to the publisher.

    Attributes:
        batch_size: Records a batch, at most.
        commit_unit: Accounts a transaction; None for the entire batch.
        retry: The one place where anything is tried again.
        notify: Told of what happens, for logs and progress.
    """

    _source: MessageSource
    _begin: Begin
    _publisher: EventPublisher
    _wire: Wire
    _writer: Writer
    _retry: Retry
    _batch_size: int = 1000
    _commit_unit: int | None = None
    _notify: Callable[[Notice], None] = lambda _: None

    _epochs: dict[Partition, int] = field(factory=dict, init=False)
    _in_doubt: set[Partition] = field(factory=set, init=False)
    _in_flight: deque[tuple[Publication, frozenset[int]]] = field(factory=deque, init=False)
    _published: frozenset[int] = field(default=frozenset(), init=False)
    _drained: bool = field(default=False, init=False)
    total: Tally = field(factory=Tally, init=False)

    def run(
        self,
        stop: Callable[[], bool],
        *,
        max_records: int | None = None,
        until_drained: bool = False,
    ) -> Tally:
        """Consume until told to stop, finishing the batch in hand.

        Args:
            stop: Asked between batches.
            max_records: Stop after so many records.
            until_drained: Stop when the source is drained.

        Raises:
            Unavailable: The world did not heal in time, or cannot without somebody's help (G5).
        """
        while not (stop() or self._finished(max_records, until_drained)):
            limit = self._batch_size
            if max_records is not None:
                limit = min(limit, max_records - self.total.records)
            self._retry(partial(self._turn, limit))
        self._retry(self._tidy_up)
        return self.total

    def _finished(self, max_records: int | None, until_drained: bool) -> bool:
        if max_records is not None and self.total.records >= max_records:
            return True
        return until_drained and self._drained

    def _turn(self, limit: int) -> None:
        try:
            if self._in_doubt:
                self._note(self._source.poll(0))
                self._take_over()
            polled = self._source.poll(limit)
            self._note(polled)
            self._process(polled)
        except (Fenced, Unavailable) as failure:
            self._in_doubt |= self._epochs.keys()
            if isinstance(failure, Unavailable):
                raise

    def _note(self, polled: Polled) -> None:
        self._in_doubt = (self._in_doubt | polled.gained) - polled.lost
        for partition in polled.lost:
            self._epochs.pop(partition, None)

    def _process(self, polled: Polled) -> None:
        """Steps 2 to 8 of a batch; step 1 was its poll."""
        if not polled.records:
            self._tidy_up()
            if polled.positions:
                self._source.acknowledge(polled.positions)
            self._drained = not self._in_doubt and self._source.drained()
            return
        decoded = [self._wire.decode(record) for record in polled.records]
        to_write: list[Decoded] = [item for item in decoded if not isinstance(item, WarmedUp)]
        total = evolve(self.total, warm_ups=self.total.warm_ups + len(decoded) - len(to_write))
        for unit in commit_units(by_account(to_write), self._commit_unit):
            committed = self._writer.write(unit, self._epochs, self._published)
            self._published = frozenset()
            self._in_flight.append((self._publisher.publish(committed.events), committed.rows))
            total = _add(total, committed)
        self._await_publications()
        self._source.acknowledge(polled.positions)
        self.total = total
        self._notify(BatchDone(total, self._source.lag()))

    def _await_publications(self) -> None:
        while self._in_flight:
            publication, rows = self._in_flight[0]
            publication.wait()
            self._published |= rows
            self._in_flight.popleft()

    def _take_over(self) -> None:
        """Make what is in doubt surely ours: the one way back from every failure."""
        self._run_dry()
        partitions = frozenset(self._in_doubt)
        with self._begin() as work:
            epochs = work.fence.raise_epochs(sorted(partitions))
            waiting = work.outbox.waiting(partitions)
        unpublished = [row for row in waiting if row.id not in self._published]
        for row in unpublished:
            self._in_flight.append(
                (self._publisher.publish(unpack(row.payload)), frozenset({row.id}))
            )
        self._await_publications()
        self._source.rewind(partitions)
        self._epochs.update(epochs)
        self._in_doubt -= partitions
        self._notify(TakenOver(partitions, len(unpublished)))

    def _run_dry(self) -> None:
        try:
            self._await_publications()
        except Unavailable:
            self._publisher.reset()
            self._in_flight.clear()

    def _tidy_up(self) -> None:
        """Delete the published outbox rows that no next transaction took along."""
        if self._published:
            with self._begin() as work:
                work.outbox.delete(self._published)
            self._published = frozenset()


def _add(total: Tally, committed: Committed) -> Tally:
    return evolve(
        total,
        written=total.written + _count(committed, Written),
        duplicates=total.duplicates + _count(committed, Duplicate),
        dead_letters=total.dead_letters + _count(committed, DeadLettered),
        events=total.events + len(committed.events),
    )


def _count(committed: Committed, kind: type[Outcome]) -> int:
    return sum(isinstance(outcome, kind) for outcome in committed.outcomes)
