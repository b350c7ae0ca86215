"""What the consuming loop tells its observers: values, from which logs and metrics are made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from attrs import field, frozen

from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.outcomes import DeadLettered, Outcome, Tally
from voltpay_core.records import Partition, ProducerRecord, Record, partition_names


@frozen
class Polled:
    """A poll returned records.

    Attributes:
        at: The time at which it returned.
        seconds: How long it took.
    """

    records: Sequence[Record] = field(repr=False)
    at: datetime
    seconds: float

    @property
    def size(self) -> int:
        """The bytes of all keys and values."""
        return sum(len(each.key or b"") + len(each.value or b"") for each in self.records)

    @property
    def oldest_age(self) -> float | None:
        """Seconds since the oldest timestamp of a record; None if no record has one."""
        times = (each.timestamp or 0 for each in self.records)
        oldest = min((time for time in times if time > 0), default=None)
        return None if oldest is None else max(0.0, self.at.timestamp() - oldest / 1000)


@frozen
class BatchDecoded:
    """The records of a poll are decoded and grouped into commit units.

    Attributes:
        records: The number of records.
        warm_ups: The number of warm-up records among them.
        seconds: How long it took.
    """

    records: int
    warm_ups: int
    seconds: float


@frozen
class UnitCommitted:
    """A commit unit is written; its events are not sent yet.

    Attributes:
        tally: The number of its records with each outcome, and of its events.
        outcomes: One outcome for each record.
        seconds: How long the transaction took, bisection included.
    """

    tally: Tally
    outcomes: Sequence[Outcome] = field(repr=False)
    seconds: float

    @property
    def dead_letters(self) -> list[DeadLettered]:
        """The records that became dead letters, each with its reason."""
        return [each for each in self.outcomes if isinstance(each, DeadLettered)]


@frozen
class RejectionsCounted:
    """The breaker's counter of rejections by the database has changed.

    Attributes:
        count: The rejections in a row for the same reason; 0 after a reset.
        limit: The count that stops the writer.
    """

    count: int
    limit: int


@frozen
class Published:
    """Events are acknowledged: those of a commit unit, or those of an outbox row.

    Attributes:
        repeat: True for an outbox row that a take-over found; its events may be published twice.
        seconds: From sending them until all are acknowledged. With overlap, this includes the time
            in which the next batch is written.
    """

    events: Sequence[ProducerRecord] = field(repr=False)
    repeat: bool
    seconds: float

    @property
    def by_topic(self) -> Mapping[str, int]:
        """The number of events for each topic."""
        return Counter(event.topic for event in self.events)


@frozen
class BatchDone:
    """A batch is written, published and acknowledged.

    Attributes:
        total: The tally of all runs of this consumer up to this batch.
        lag_by_partition: The number of known records that are not yet polled, for each partition
            that this process has taken over.
        seconds: How long the acknowledgement took.
    """

    total: Tally
    lag_by_partition: Mapping[Partition, int]
    seconds: float

    @property
    def lag(self) -> int:
        """The lag of all partitions."""
        return sum(self.lag_by_partition.values())

    def __str__(self) -> str:
        return f"{self.total}; lag {self.lag}"


@frozen
class Idle:
    """A poll returned no records.

    Attributes:
        lag_by_partition: As `BatchDone` has it; not 0 where records wait for the end of a
            transaction, or are still being fetched.
    """

    lag_by_partition: Mapping[Partition, int]

    @property
    def lag(self) -> int:
        """The lag of all partitions."""
        return sum(self.lag_by_partition.values())

    def __str__(self) -> str:
        return f"idle; lag {self.lag}"


@frozen
class TakenOver:
    """This process owns the partitions, and has published their pending events.

    Attributes:
        republished: The number of pending outbox rows that were published.
        node_id: The node id that its connection to the database holds (G7); it may be another one
            after a lost connection.
        seconds: How long it took, from the search for the committed offsets until the pending
            events are acknowledged.
    """

    partitions: frozenset[Partition]
    republished: int
    node_id: int
    seconds: float

    def __str__(self) -> str:
        return f"took over {partition_names(self.partitions)} in {self.seconds:.1f} s"


@frozen
class Retrying:
    """A call failed, and the retry policy will call again.

    Attributes:
        failure: Why it failed.
        attempt: The number of the attempt that follows; 2 after the first failure.
        seconds: How long the policy waits before it.
    """

    failure: Unavailable
    attempt: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.failure}; attempt {self.attempt} in {self.seconds:.1f} s"


Notice = (
    Polled
    | BatchDecoded
    | UnitCommitted
    | RejectionsCounted
    | Published
    | BatchDone
    | Idle
    | TakenOver
    | Fenced
    | Retrying
)
"""What an observer is notified of."""

Observer = Callable[[Notice], None]
"""Called with each notice, in the thread of the loop: it must neither raise nor block."""


def to_all(*observers: Observer) -> Observer:
    """An observer that passes each notice to all of these, in this order."""

    def notify(notice: Notice) -> None:
        for observe in observers:
            observe(notice)

    return notify


def ignore(_: Notice) -> None:
    """An observer that does nothing."""
