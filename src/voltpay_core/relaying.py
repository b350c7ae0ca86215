"""The outbox relay: publishes committed events in order, and tracks the rows to delete."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

from attrs import define, field

from voltpay_core.codec import unpack
from voltpay_core.errors import Unavailable
from voltpay_core.ports import EventPublisher, OutboxRow, Publication
from voltpay_core.records import ProducerRecord


@define
class OutboxRelay:
    """Publishes events between the commit and the acknowledgement of the offsets (G2).

    Attributes:
        published: Outbox rows whose events are acknowledged; the next transaction deletes them.
    """

    _publisher: EventPublisher
    published: frozenset[int] = field(default=frozenset(), init=False)
    _in_flight: deque[tuple[Publication, frozenset[int]]] = field(factory=deque, init=False)

    def publish(self, events: Sequence[ProducerRecord], rows: frozenset[int]) -> None:
        """Send the events of these rows without waiting.

        Raises:
            Unavailable: The topics cannot be reached.
        """
        self._in_flight.append((self._publisher.publish(events), rows))

    def publish_pending(self, pending: Iterable[OutboxRow]) -> int:
        """Publish the pending rows of a take-over, and return their number.

        Rows whose events this process has already published are skipped.

        Raises:
            Unavailable: An event was not acknowledged.
        """
        left = [row for row in pending if row.id not in self.published]
        for row in left:
            self.publish(unpack(row.payload), frozenset({row.id}))
        self.wait()
        return len(left)

    def wait(self, leave: int = 0) -> None:
        """Return once all sent events are acknowledged, except the last `leave` publications.

        Raises:
            Unavailable: An event was rejected, or its acknowledgement timed out.
        """
        while len(self._in_flight) > leave:
            publication, rows = self._in_flight[0]
            publication.wait()
            self.published |= rows
            self._in_flight.popleft()

    def settle(self) -> bool:
        """Wait for the sent events. If that fails, drop them and return false.

        Dropped events are still in the outbox.
        """
        try:
            self.wait()
        except Unavailable:
            self._publisher.reset()
            self._in_flight.clear()
            return False
        return True

    def forget_published(self) -> None:
        """Forget the published rows, once a transaction has deleted them."""
        self.published = frozenset()
