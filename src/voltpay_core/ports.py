"""What the core asks of the world; each docstring is the contract that every adapter passes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import timedelta
from typing import Protocol

from attrs import field, frozen

from voltpay_core.payments import Payment
from voltpay_core.records import Partition, ProducerRecord, Record


@frozen
class PollResult:
    """What one poll brought.

    Attributes:
        positions: The offsets to acknowledge once all records of this poll are done.
        assigned: Partitions that are assigned to this member now; their records wait for
            `MessageSource.seek_to_committed`.
        revoked: Partitions that are assigned to it no longer.
    """

    records: Sequence[Record] = ()
    positions: Mapping[Partition, int] = field(factory=dict)
    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()


class MessageSource(Protocol):
    """Records in the order of their partitions, again and again until they are acknowledged."""

    def poll(self, limit: int) -> PollResult:
        """At most `limit` records, after a short wait at the most.

        A poll of 0 records only reports partitions gained and lost, and keeps them ours. One that
        raises leaves that report to the next; none reports a partition as both.

        Raises:
            Misconfigured: It is no source of records at all.
            Unavailable: The source cannot be reached.
        """

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Go on from the acknowledged offsets of those of these partitions that are ours.

        Raises:
            Unavailable: The offsets cannot be had, or (halt) records expired before being read.
        """

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Make these the offsets to go on from; on return that is durable.

        Raises:
            Fenced: The partitions are somebody else's by now.
            Unavailable: The source cannot be reached.
        """

    def drained(self) -> bool:
        """True once the acknowledged offsets, whoever acknowledged them, reach the ends at start.

        Raises:
            Unavailable: The source cannot be reached.
        """

    def lag(self) -> int:
        """Records of our partitions that are known and not yet polled."""


class PaymentStore(Protocol):
    """The normalised payment tables."""

    def add(self, payments: Sequence[Payment]) -> None:
        """Write these payments, each into every table, all or none.

        Raises:
            PaymentIdTaken: One of the ids is stored already.
            Rejected: The database refuses one of them; only a savepoint can go on after that.
            Unavailable: The database cannot write now.
        """


class IdempotencyStore(Protocol):
    """Who was here before: the claimed message ids and the claims of dead letters."""

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim the keys (sorted, without repeats) and tell which of them were free.

        Raises:
            Unavailable: The database cannot write now.
        """

    def purge(self, older_than: timedelta, limit: int) -> int:
        """Delete at most `limit` claims older than that by the database's clock.

        Claims as young as the oldest outbox row stay, whatever their age. Tells how many went.

        Raises:
            Unavailable: The database cannot write now.
        """

    def expired(self, older_than: timedelta) -> int:
        """How many claims `purge` would delete in all."""


@frozen
class OutboxRow:
    """The packed events of one commit unit and source partition."""

    id: int
    payload: bytes = field(repr=False)


class Outbox(Protocol):
    """Events that are committed and perhaps not yet published (G2)."""

    def put(self, payloads: Mapping[Partition, bytes]) -> frozenset[int]:
        """Add one row a source partition and tell the rows' ids, which rise."""

    def waiting(self, partitions: Collection[Partition]) -> list[OutboxRow]:
        """All rows of these partitions in the order in which they were put."""

    def delete(self, ids: Collection[int]) -> None:
        """Delete these rows; one that is gone already is no error."""


class Fence(Protocol):
    """Who owns a partition: the one whose epoch the database has."""

    def hold(self, epochs: Mapping[Partition, int]) -> None:
        """Make sure that these epochs stand, and keep them from being raised until the end.

        Raises:
            Fenced: Some were raised by a new owner.
        """

    def bump_epochs(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Make these partitions ours alone: waits for a transaction that holds the fence."""

    def position(self, partition: Partition) -> int | None:
        """The next offset, for sources that keep none of their own; None before the first."""

    def move(self, partition: Partition, position: int) -> None:
        """Set the next offset."""


class UnitOfWork(Protocol):
    """One transaction, joining the stores: all of it happens at its end, or nothing."""

    @property
    def node_id(self) -> int:
        """The node (0-999) whose lease this transaction's connection holds (G7)."""

    @property
    def payments(self) -> PaymentStore:
        """The payment tables."""

    @property
    def idempotency(self) -> IdempotencyStore:
        """The claims."""

    @property
    def outbox(self) -> Outbox:
        """What is to be published."""

    @property
    def fence(self) -> Fence:
        """Who owns which partition."""

    def savepoint(self) -> AbstractContextManager[None]:
        """What happens inside is undone where it ends in an exception; the rest stays."""


BeginUnitOfWork = Callable[[], AbstractContextManager[UnitOfWork]]
"""Opens a unit of work, which commits on a clean exit and rolls back otherwise.

It connects where there is no usable connection. Raises `Unavailable`; where the answer to the
commit was lost, the work may have happened all the same.
"""


class Publication(Protocol):
    """Events on their way."""

    def wait(self) -> None:
        """Return once every event is acknowledged.

        Raises:
            Unavailable: One of them was refused, or its acknowledgement is overdue.
        """


class EventPublisher(Protocol):
    """The topics that the rest of Voltpay reads."""

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Send the events in this order, behind those sent before, without waiting.

        Raises:
            Unavailable: The topics cannot be reached.
        """

    def reset(self) -> None:
        """Drop everything unacknowledged, so that nothing of it can overtake what comes next."""
