"""Subscribes a service to a topic of events: typed batches, acknowledged explicitly."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Generic, TypeVar

from attrs import define, field

from voltpay_core.errors import Fenced, Rejected, Unavailable
from voltpay_core.outcomes import DeadLettered
from voltpay_core.ports import MessageSource, PollResult, Retry
from voltpay_core.records import Partition, Record

E = TypeVar("E")

BATCH_SIZE = 500
"""The default for the number of records in a batch, at most."""


@define
class Batch(Generic[E]):
    """Events of one poll, in the order of their partitions.

    Attributes:
        events: The decoded events.
        rejected: Records that could not be decoded, each with its reason.
        acknowledged: Whether `acknowledge` was called.
    """

    events: Sequence[E]
    rejected: Sequence[DeadLettered]
    _commit: Callable[[], None] = field(repr=False)
    acknowledged: bool = field(default=False, init=False)

    def acknowledge(self) -> None:
        """Commit the offsets of this batch, so that it does not come again.

        If another member of the group owns the partitions now, that member gets the events again.

        Raises:
            Unavailable: An outage lasted longer than the retry policy, or needs a person.
        """
        self._commit()
        self.acknowledged = True


@define
class Subscription(Generic[E]):
    """The batches of a source, each delivered at least once.

    If a batch is not acknowledged before the next iteration, it comes again.

    Attributes:
        decode: Decodes a record into an event, or raises `Rejected`.
        retry: The retry policy for outages.
        stop: Called between batches; true ends them.
        limit: Records in a batch, at most.
        until_drained: End when the source is drained.
    """

    _source: MessageSource
    _decode: Callable[[Record], E]
    _retry: Retry
    _stop: Callable[[], bool]
    _limit: int = BATCH_SIZE
    _until_drained: bool = False
    _owned: set[Partition] = field(factory=set, init=False)
    _in_doubt: set[Partition] = field(factory=set, init=False)

    def __iter__(self) -> Iterator[Batch[E]]:
        """Iterate over the batches.

        Raises:
            Unavailable: An outage lasted longer than the retry policy, or needs a person.
        """
        while not self._stop():
            polled = self._retry(self._poll)
            if polled.records:
                batch = self._batch(polled)
                yield batch
                if not batch.acknowledged:
                    self._in_doubt |= self._owned & polled.positions.keys()
            elif polled.positions:
                self._retry(partial(self._acknowledge, polled.positions))
            elif self._until_drained and self._retry(self._is_drained):
                return

    def _poll(self) -> PollResult:
        try:
            if self._in_doubt:
                self._rebalance(self._source.poll(0))
                self._source.seek_to_committed(self._in_doubt)
                self._in_doubt.clear()
            polled = self._source.poll(self._limit)
        except Fenced as fence:
            self._in_doubt |= self._owned
            raise Unavailable(str(fence)) from fence  # the retry policy waits, and polls again
        except Unavailable:
            self._in_doubt |= self._owned
            raise
        self._rebalance(polled)
        return polled

    def _rebalance(self, polled: PollResult) -> None:
        self._owned = (self._owned | polled.assigned) - polled.revoked
        self._in_doubt = (self._in_doubt | polled.assigned) - polled.revoked

    def _is_drained(self) -> bool:
        return not self._in_doubt and self._source.drained()

    def _batch(self, polled: PollResult) -> Batch[E]:
        events: list[E] = []
        rejected: list[DeadLettered] = []
        for record in polled.records:
            try:
                events.append(self._decode(record))
            except Rejected as reason:
                rejected.append(DeadLettered(record, reason))
        commit = partial(self._retry, partial(self._acknowledge, polled.positions))
        return Batch(events, rejected, commit)

    def _acknowledge(self, positions: Mapping[Partition, int]) -> None:
        try:
            self._source.acknowledge(positions)
        except Fenced as fence:
            self._in_doubt |= self._owned & fence.partitions
