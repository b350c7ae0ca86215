"""Plain values with Kafka's names: partitions, consumed records, and records to publish."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from attrs import field, frozen

Headers = tuple[tuple[str, bytes | None], ...]


@frozen(order=True)
class Partition:
    """One partition of a topic: the unit of order and of ownership."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}-{self.number}"


@frozen
class Record:
    """One consumed record, its bytes unchanged.

    Attributes:
        offset: Its offset in the partition.
        timestamp: Milliseconds since 1970, from the broker; None if the record has none.
    """

    partition: Partition
    offset: int
    timestamp: int | None
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(default=(), repr=False)

    def header(self, name: str) -> bytes | None:
        """Return the value of the last header with that name, or None."""
        return last_header(self.headers, name)


@frozen
class ProducerRecord:
    """One record to publish: an event, a dead letter, or a payment for the input topic.

    Attributes:
        partition: The number of the source partition, used if the topic has as many partitions.
        timestamp: Milliseconds since 1970; None leaves it to the broker.
    """

    topic: str
    key: bytes | None = field(repr=False)
    value: bytes | None = field(repr=False)
    headers: Headers = field(default=(), repr=False)
    partition: int | None = None
    timestamp: int | None = None


def partition_names(partitions: Collection[Partition]) -> str:
    """Return the names of at most eight partitions, and the number of the others."""
    first, others = sorted(partitions)[:8], len(partitions) - 8
    return ", ".join(map(str, first)) + (f" and {others} more" if others > 0 else "")


def last_header(headers: Iterable[tuple[str, bytes | None]], name: str) -> bytes | None:
    """Return the value of the last header with that name, or None."""
    found = None
    for header, value in headers:
        if header == name:
            found = value
    return found
