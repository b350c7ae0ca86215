"""Publishes records to Kafka: events, dead letters and payments."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from kafka import KafkaProducer
from kafka.errors import UnknownError

from voltpay_adapters.kafka import quirks
from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.defaults import ACK_TIMEOUT
from voltpay_core.errors import Unavailable
from voltpay_core.ports import Publication
from voltpay_core.records import ProducerRecord


@define
class KafkaPublisher:
    """An `EventPublisher` over an idempotent producer, connected when first used.

    A null header value is published as an empty one: kafka-python cannot write null.

    Attributes:
        count_partitions: Returns the number of partitions of the source. If the topic has the same
            number, an event goes to the partition of its payment's record; if not, to that of its
            key.
        ack_timeout: Seconds to wait for acknowledgements. The producer itself tries for longer, so
            no later event can overtake an event that the producer has given up.
    """

    _connection: KafkaConnection
    _count_partitions: Callable[[], int] | None = None
    _ack_timeout: float = ACK_TIMEOUT
    _opened: KafkaProducer | None = field(default=None, init=False)
    _source_partitions: int | None = field(default=None, init=False)
    _partition_counts: dict[str, int] = field(factory=dict, init=False)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Hand the events to the producer."""
        with translate_errors("publishing"):
            producer = self._producer()
            sent = [self._send(producer, event) for event in events]
        return KafkaPublication(producer, sent, self._ack_timeout)

    def reset(self) -> None:
        """Close the producer at once, with all records that it still holds."""
        producer, self._opened = self._opened, None
        self._partition_counts.clear()
        if producer is not None:
            quirks.abort(producer)

    def close(self) -> None:
        """Close the producer; whatever was waited for is acknowledged already."""
        self.reset()

    def _producer(self) -> KafkaProducer:
        if self._opened is None:
            self._source_partitions = self._count_partitions() if self._count_partitions else None
            self._opened = self._connection.producer(
                batch_size=256 * 1024,
                delivery_timeout_ms=int(self._ack_timeout * 4000),
                linger_ms=1000,  # until `wait` flushes: one request holds many partitions
                max_block_ms=int(self._ack_timeout * 1000),
                max_request_size=8 * 1024 * 1024,
                request_timeout_ms=min(30_000, int(self._ack_timeout * 2000)),  # < delivery
                value_serializer=quirks.null_values(),
            )
        return self._opened

    def _send(self, producer: KafkaProducer, event: ProducerRecord) -> Any:
        try:
            return producer.send(
                event.topic,
                key=event.key,
                value=quirks.NULL if event.value is None else event.value,
                headers=[(name, value or b"") for name, value in event.headers],
                partition=self._partition(producer, event),
                timestamp_ms=event.timestamp,
            )
        except ValueError as error:  # kafka-python no longer knows the partition
            raise Unavailable(
                f"Kafka: publishing: {event.topic} was deleted, or has fewer partitions than"
                " before",
                code="kafka",
            ) from error

    def _partition(self, producer: KafkaProducer, event: ProducerRecord) -> int | None:
        if event.topic not in self._partition_counts:
            self._partition_counts[event.topic] = len(producer.partitions_for(event.topic) or ())
        count = self._partition_counts[event.topic]
        wanted = event.partition
        same = count == self._source_partitions and wanted is not None and wanted < count
        return wanted if same else None


@frozen
class KafkaPublication:
    """Records handed to the producer, each with the future of its acknowledgement."""

    _producer: KafkaProducer
    _sent: Sequence[Any]
    _ack_timeout: float

    def wait(self) -> None:
        """Flush the producer, then check the result of every record."""
        with translate_errors("waiting for the acknowledgement of events"):
            self._flush()
            for future in self._sent:
                if not future.is_done:
                    raise Unavailable(
                        "Kafka: the acknowledgement of an event is overdue", code="kafka"
                    )
                if future.failed():
                    raise future.exception

    def _flush(self) -> None:
        """Send everything, also batches that are split.

        If a batch is longer than its topic accepts, kafka-python splits it and sends it again, and
        `flush` raises `UnknownError` for the first attempt.
        """
        deadline = time.monotonic() + self._ack_timeout
        while (left := deadline - time.monotonic()) > 0:
            try:
                self._producer.flush(left)
            except UnknownError:
                continue
            return
