"""The outbox relay: publishes committed events in order and tells which rows are done with."""

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
    """Between the commit and the acknowledgement of the offsets (G2).

    Attributes:
        published: Outbox rows whose events are acknowledged: the next transaction deletes them.
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

    def publish_pending(self, waiting: Iterable[OutboxRow]) -> int:
        """Publish what a former owner left, and tell how many rows that were.

        Rows that this process published itself are passed over.

        Raises:
            Unavailable: An event was not acknowledged.
        """
        left = [row for row in waiting if row.id not in self.published]
        for row in left:
            self.publish(unpack(row.payload), frozenset({row.id}))
        self.wait()
        return len(left)

    def wait(self) -> None:
        """Return once everything sent is acknowledged.

        Raises:
            Unavailable: An event was refused, or its acknowledgement is overdue.
        """
        while self._in_flight:
            publication, rows = self._in_flight[0]
            publication.wait()
            self.published |= rows
            self._in_flight.popleft()

    def settle(self) -> None:
        """Wait for what was sent or, where that fails, drop it: the outbox has it still."""
        try:
            self.wait()
        except Unavailable:
            self._publisher.reset()
            self._in_flight.clear()

    def forget_published(self) -> None:
        """The published rows are deleted, and that is committed."""
        self.published = frozenset()
