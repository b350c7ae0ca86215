"""Polls one record ahead, to know the offset of the next record."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import define, field
from kafka import KafkaConsumer, TopicPartition

from voltpay_adapters.kafka import quirks


@define
class Lookahead:
    """Holds back one record when a poll returns more than the limit.

    Transactions and compaction leave offsets without a record. The client skips them only when it
    looks for the next record. The offset of the record held back shows how far it skipped.
    """

    _consumer: KafkaConsumer
    _held: dict[TopicPartition, Any] = field(factory=dict, init=False)

    def poll(self, timeout_ms: int, limit: int) -> dict[TopicPartition, list[Any]]:
        """At most `limit` records, those of a partition in their order."""
        if self._held and not quirks.needs_rejoin(self._consumer):
            timeout_ms = 0  # a record can be returned at once; only a join needs the time
        polled = self._consumer.poll(timeout_ms, max_records=limit + 1 - len(self._held))
        found = {tp: [record] for tp, record in self._held.items()}
        self._held.clear()
        for tp, records in polled.items():
            found[tp] = found.get(tp, []) + records
        if sum(map(len, found.values())) > limit:
            tp, records = found.popitem()
            self._held[tp] = records.pop()
            found[tp] = records
        return found

    def positions(self) -> dict[TopicPartition, int]:
        """The offset at which the next record of each partition is expected."""
        reached = quirks.consumed_offsets(self._consumer)
        return reached | {tp: record.offset for tp, record in self._held.items()}

    def forget(self, tps: Collection[TopicPartition]) -> None:
        """Drop the held records of partitions whose position is about to change."""
        for tp in self._held.keys() & set(tps):
            del self._held[tp]
