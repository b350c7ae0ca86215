"""Polls a record ahead, to know where the next one is."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from attrs import define, field
from kafka import KafkaConsumer, TopicPartition

from voltpay_adapters.kafka import quirks


@define
class Lookahead:
    """Holds back one record of a poll that has more than its limit.

    Transactions and compaction leave offsets without a record. The client passes over them when it
    looks for the next record: with a record held back, they are known to be passed.
    """

    _consumer: KafkaConsumer
    _held: dict[TopicPartition, Any] = field(factory=dict, init=False)

    def poll(self, timeout_ms: int, limit: int) -> dict[TopicPartition, list[Any]]:
        """At most `limit` records, those of a partition in their order."""
        if self._held and not quirks.needs_rejoin(self._consumer):
            timeout_ms = 0  # there is something to return; only a join takes its time
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
        """Where the next record of each partition is expected."""
        reached = quirks.consumed_offsets(self._consumer)
        return reached | {tp: record.offset for tp, record in self._held.items()}

    def forget(self, tps: Collection[TopicPartition]) -> None:
        """Drop what is held of partitions that are read from elsewhere next."""
        for tp in self._held.keys() & set(tps):
            del self._held[tp]
