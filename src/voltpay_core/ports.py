"""The ports: what the core needs from Kafka and the database; each docstring is a contract."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime, timedelta
from typing import Protocol, TypeVar

from attrs import evolve, field, frozen

from voltpay_core.ids import UNIX_EPOCH, PaymentId, beginning
from voltpay_core.payments import Payment, StoredPayment
from voltpay_core.records import Partition, ProducerRecord, Record

T = TypeVar("T")


@frozen
class PollResult:
    """The result of one poll.

    Attributes:
        positions: The offsets to acknowledge when all records of this poll are done.
        assigned: Newly assigned partitions. They give no records before
            `MessageSource.seek_to_committed`.
        revoked: Partitions that this process no longer owns.
    """

    records: Sequence[Record] = ()
    positions: Mapping[Partition, int] = field(factory=dict)
    assigned: frozenset[Partition] = frozenset()
    revoked: frozenset[Partition] = frozenset()


class MessageSource(Protocol):
    """A topic: the records of each partition come in order, at least once.

    Records that are not acknowledged come again after `seek_to_committed`, and after a restart.
    """

    def poll(self, limit: int) -> PollResult:
        """Return at most `limit` records, after at most a short wait.

        `poll(0)` returns no records: it only reports assigned and revoked partitions and keeps the
        consumer in its group. If a poll raises, its changes are reported by the next one. No poll
        reports a partition as both assigned and revoked.

        Raises:
            Misconfigured: The source cannot be read as records, such as a file in UTF-16.
            Unavailable: The source cannot be reached.
        """

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Have polls call `settle` before they give partitions up, if the group waits for it.

        Until it returns, these partitions can be acknowledged. What it raises, the poll raises, and
        the partitions are given up nevertheless. A source whose group waits for nobody never
        calls it.
        """

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue at the committed offsets of these partitions; skip those that are not assigned.

        Raises:
            Fenced: The group is rebalancing, or has removed this member.
            Unavailable: The offsets cannot be read, or (halt) records expired unread.
        """

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Commit these offsets durably.

        Raises:
            Fenced: Another member of the group owns the partitions now.
            Unavailable: The source cannot be reached.
        """

    def drained(self) -> bool:
        """Return whether the committed offsets have reached the end offsets seen at start-up.

        Raises:
            Unavailable: The source cannot be reached.
        """

    def lag(self) -> Mapping[Partition, int]:
        """Return the number of known records that are not yet polled, for each partition.

        It has the assigned partitions after their `seek_to_committed`, also those that were not
        polled yet. Offsets without a record may count, too. It costs no request.
        """

    def close(self) -> None:
        """Leave the group and close the connection; unacknowledged records are redelivered."""


class PaymentStore(Protocol):
    """The normalised payment tables."""

    def add(self, payments: Sequence[Payment]) -> None:
        """Insert all of these payments into every table, or none of them.

        Raises:
            PaymentIdTaken: One of the ids exists already.
            Rejected: The database rejects one of them; roll back to a savepoint to continue.
            Unavailable: The database cannot write now.
        """


@frozen
class PaymentRange:
    """Payments by the times in their ids, and by their ids.

    Attributes:
        end: Payments of this time and later are not in the range.
        start: Payments of this time are in the range.
        after: Only payments with a greater id are in the range; None for all.
    """

    end: datetime
    start: datetime = UNIX_EPOCH
    after: PaymentId | None = None

    @property
    def ids(self) -> tuple[str, str]:
        """Two texts between which all ids of the range are, by which an index finds them."""
        start, end = (
            (at - UNIX_EPOCH) // timedelta(milliseconds=1) for at in (self.start, self.end)
        )
        after = self.after.text if self.after else ""
        return max(beginning(start), after), beginning(end + 1)

    def rest(self, after: PaymentId) -> PaymentRange:
        """Return the part of this range that follows this payment."""
        return evolve(self, after=after, start=max(self.start, after.created_at))


class PaymentReader(Protocol):
    """Reads the written payments and changes nothing; each call is a transaction of its own."""

    def read(self, payments: PaymentRange, limit: int) -> Sequence[StoredPayment]:
        """Return the first payments of the range in the order of their ids, at most `limit`.

        Raises:
            Unavailable: The database cannot be read now; the next call connects again.
        """

    def count(self, payments: PaymentRange) -> int:
        """Return the number of payments in the range.

        Raises:
            Unavailable: The database cannot be read now.
        """

    def close(self) -> None:
        """Close the connection."""


@frozen
class PurgeStep:
    """The result of one step of a purge.

    Attributes:
        deleted: The number of claims deleted.
        rest: Where the next step starts; None at the end of the claims.
    """

    deleted: int
    rest: int | None


class IdempotencyStore(Protocol):
    """The claims (G1).

    The key of a claim is a message id that became a payment, or the digest of a record that became
    a dead letter.
    """

    def claim(self, keys: Sequence[str]) -> set[str]:
        """Claim the keys, which are sorted and unique, and return those that were free.

        Raises:
            Unavailable: The database cannot write now.
        """

    def purge(self, older_than: timedelta, limit: int, start: int = 0) -> PurgeStep:
        """Delete at most `limit` claims older than `older_than` by the database's clock.

        Claims newer than the oldest outbox row are kept. A step may delete none before the end.

        Args:
            start: The `rest` of the step before; 0 for the first step.

        Raises:
            Unavailable: The database cannot write now.
        """

    def expired(self, older_than: timedelta) -> int:
        """Return the total number of claims that `purge` would delete."""


@frozen
class OutboxRow:
    """The packed events of one commit unit and one source partition."""

    id: int
    payload: bytes = field(repr=False)


class Outbox(Protocol):
    """Committed events that may not be published yet (G2)."""

    def put(self, payloads: Mapping[Partition, bytes]) -> frozenset[int]:
        """Insert one row for each source partition, and return the row ids, which increase."""

    def pending(self, partitions: Collection[Partition]) -> list[OutboxRow]:
        """Return all rows of these partitions in insertion order."""

    def delete(self, ids: Collection[int]) -> None:
        """Delete these rows; rows that do not exist are ignored."""


class Fence(Protocol):
    """The epoch of each partition: the process that knows the current one owns the partition."""

    def hold(self, epochs: Mapping[Partition, int]) -> None:
        """Check that these epochs are current, and keep them so until the transaction ends.

        Raises:
            Fenced: Another process has bumped some of them (``epoch-bumped``).
        """

    def bump_epochs(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        """Take ownership of these partitions: increase their epochs and return the new ones.

        It waits for every transaction that holds one of these partitions.
        """


class PositionStore(Protocol):
    """The read positions of sources that cannot store their own, such as files."""

    def load(self, partition: Partition) -> int | None:
        """Return the next offset of a partition; None before the first `save`."""

    def save(self, partition: Partition, position: int) -> None:
        """Store the next offset of a partition."""


class UnitOfWork(Protocol):
    """One transaction over all stores: it commits all of their changes or none."""

    @property
    def node_id(self) -> int:
        """The node id (0-999) that this transaction's connection holds (G7)."""

    @property
    def payments(self) -> PaymentStore:
        """The payment tables."""

    @property
    def idempotency(self) -> IdempotencyStore:
        """The claims."""

    @property
    def outbox(self) -> Outbox:
        """The outbox."""

    @property
    def fence(self) -> Fence:
        """The epochs of the partitions."""

    @property
    def positions(self) -> PositionStore:
        """The read positions of sources that cannot store their own."""

    def savepoint(self) -> AbstractContextManager[None]:
        """A context that undoes its changes if it raises; the transaction continues."""


BeginUnitOfWork = Callable[[], AbstractContextManager[UnitOfWork]]
"""Opens a unit of work, which commits on a clean exit and rolls back otherwise.

It connects if necessary. It raises `Unavailable` if the database fails. Then the work may be
committed nevertheless, because only the answer to the COMMIT may be lost.
"""


class PaymentDatabase(Protocol):
    """A payment database with one connection, which also holds the node id."""

    def connect(self) -> object:
        """Open the connection unless it is open.

        Raises:
            Misconfigured: Another running process holds the node id.
            Unavailable: The database cannot be reached.
        """

    def begin(self) -> AbstractContextManager[UnitOfWork]:
        """Open a unit of work, as `BeginUnitOfWork` describes it."""

    def close(self) -> None:
        """Close the connection and release the node id."""


class Publication(Protocol):
    """Records that were sent and may not be acknowledged yet."""

    def wait(self) -> None:
        """Return once every record is acknowledged.

        Raises:
            Unavailable: A record was rejected, or its acknowledgement timed out.
        """


class EventPublisher(Protocol):
    """A producer for the topics of payments, events and dead letters."""

    def publish(self, records: Sequence[ProducerRecord]) -> Publication:
        """Send the records in this order, after all earlier ones, without waiting.

        After a failure it may fail until `reset`.

        Raises:
            Unavailable: The topics cannot be reached.
        """

    def reset(self) -> None:
        """Drop all unacknowledged records, so that none can arrive after a later record."""

    def close(self) -> None:
        """Drop all unacknowledged records and close the connection."""


class Retry(Protocol):
    """A retry policy."""

    def __call__(self, act: Callable[[], T], /) -> T:
        """Call `act` and return its result; if it raises `Unavailable`, wait and call it again.

        Raises:
            Unavailable: The limit of the policy is reached, or a retry is useless (halt).
        """
