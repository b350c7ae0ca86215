"""The outbox relay: publishes committed events in order, and tracks the rows to delete."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence

from attrs import define, field, frozen

from voltpay_core.codec import unpack
from voltpay_core.errors import Unavailable
from voltpay_core.notices import Observer, Published, ignore
from voltpay_core.ports import EventPublisher, OutboxRow, Publication
from voltpay_core.records import ProducerRecord


def publish_and_wait(publisher: EventPublisher, records: Sequence[ProducerRecord]) -> None:
    """Publish the records, and return once all of them are acknowledged.

    If that fails, the publisher is reset: no record arrives later, and it can be called again.

    Raises:
        Unavailable: A record was rejected, or its acknowledgement timed out.
    """
    try:
        publisher.publish(records).wait()
    except Unavailable:
        publisher.reset()
        raise


@frozen
class _Sent:
    publication: Publication
    events: Sequence[ProducerRecord]
    rows: frozenset[int]
    repeat: bool
    at: float


@define
class OutboxRelay:
    """Publishes events between the commit and the acknowledgement of the offsets (G2).

    Attributes:
        notify: Called with `Published` when events are acknowledged.
        timer: Seconds of a clock that never goes back.
        published: Outbox rows whose events are acknowledged; the next transaction deletes them.
    """

    _publisher: EventPublisher
    _notify: Observer = ignore
    _timer: Callable[[], float] = time.monotonic
    published: frozenset[int] = field(default=frozenset(), init=False)
    _in_flight: deque[_Sent] = field(factory=deque, init=False)
    _is_broken: bool = field(default=False, init=False)

    def publish(
        self, events: Sequence[ProducerRecord], rows: frozenset[int], *, repeat: bool = False
    ) -> None:
        """Send the events of these rows without waiting.

        Args:
            repeat: Whether a take-over found the rows, so that the events may be sent twice.

        Raises:
            Unavailable: The topics cannot be reached.
        """
        started = self._timer()
        try:
            publication = self._publisher.publish(events)
        except Unavailable:
            self._is_broken = True
            raise
        self._in_flight.append(_Sent(publication, events, rows, repeat, started))

    def publish_pending(self, pending: Iterable[OutboxRow]) -> int:
        """Publish the pending rows of a take-over, and return their number.

        Rows whose events this process has already published are skipped.

        Raises:
            Unavailable: An event was not acknowledged.
        """
        left = [row for row in pending if row.id not in self.published]
        for row in left:
            self.publish(unpack(row.payload), frozenset({row.id}), repeat=True)
        self.wait()
        return len(left)

    def wait(self, leave: int = 0) -> None:
        """Return once all sent events are acknowledged, except the last `leave` publications.

        Raises:
            Unavailable: An event was rejected, or its acknowledgement timed out.
        """
        while len(self._in_flight) > leave:
            sent = self._in_flight[0]
            sent.publication.wait()
            self.published |= sent.rows
            self._in_flight.popleft()
            if sent.events:
                self._notify(Published(sent.events, sent.repeat, self._timer() - sent.at))

    def settle(self) -> bool:
        """Wait for the sent events. If that fails, drop them and return false.

        Dropped events are still in the outbox. A publisher that has failed is reset.
        """
        try:
            self.wait()
        except Unavailable:
            self._is_broken = True
        if self._is_broken:
            self._publisher.reset()
            self._is_broken = False
        settled = not self._in_flight
        self._in_flight.clear()
        return settled

    def forget_published(self) -> None:
        """Forget the published rows, once a transaction has deleted them."""
        self.published = frozenset()
