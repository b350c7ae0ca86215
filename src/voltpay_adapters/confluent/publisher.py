"""A producer for the topics that the rest of Voltpay reads, by librdkafka."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from zlib import crc32

from attrs import define, field, frozen
from confluent_kafka import KafkaError, Message, Producer

from voltpay_adapters.confluent.connection import (
    ConfluentConnection,
    failure,
    is_final,
    translate_errors,
)
from voltpay_adapters.kafka.defaults import ACK_TIMEOUT
from voltpay_adapters.kafka.failures import no_topic
from voltpay_adapters.kafka.requirements import whole_number
from voltpay_core.errors import Unavailable
from voltpay_core.ports import Publication
from voltpay_core.records import ProducerRecord

_BY_KEY = -1
"""The partitioner chooses the partition."""

_BATCH = 1_000_000
"""Bytes of a batch, at most, if its topic accepts them."""

_SLICE = 0.5
"""Seconds of one call, during which Python handles no signals."""

_PAUSE = 0.005
"""Seconds to wait for one producer, while the others may have reports."""

Report = Callable[[KafkaError | None, Message], None]


@frozen
class _Target:
    """The producers of a topic.

    Attributes:
        producers: All records of a partition, or of a key, go to the same one.
        partitions: The number of partitions if it is that of the source; 0 if the key chooses.
    """

    producers: Sequence[Producer]
    partitions: int


@define
class _Session:
    """Producers that are closed together, and the first failure of any of them.

    Each size of batch has its own producers: if a batch is longer than its topic accepts,
    librdkafka fails it, while other clients split it.
    """

    _connection: ConfluentConnection
    _source_partitions: int | None
    _lanes: int
    _producers: dict[int, list[Producer]] = field(factory=dict, init=False)
    _targets: dict[str, _Target] = field(factory=dict, init=False)
    _failure: Unavailable | None = field(default=None, init=False)

    def find(self, topics: Collection[str]) -> None:
        """Look up the topics that are not known yet."""
        if not (new := topics - self._targets.keys()):
            return
        with self._connection.topic_admin("looking up topics") as admin:
            shapes, configurations = admin.shapes(new), admin.configurations(new)
        for topic in new:
            if topic not in shapes:
                raise no_topic(topic)
            longest = whole_number(configurations[topic].get("max.message.bytes", ""))
            same = shapes[topic].partitions == self._source_partitions
            self._targets[topic] = _Target(
                self._beside(min(longest or _BATCH, _BATCH)),
                shapes[topic].partitions if same else 0,
            )

    def send(self, event: ProducerRecord, report: Report, patience: float) -> None:
        """Hand an event to its topic's producer, and wait while that is full."""
        target, wanted = self._targets[event.topic], event.partition
        partition, lane = _BY_KEY, crc32(event.key or b"")
        if wanted is not None and wanted < target.partitions:
            partition = lane = wanted
        producer = target.producers[lane % self._lanes]
        timestamp = event.timestamp
        deadline = 0.0
        while True:
            try:
                producer.produce(
                    event.topic,
                    event.value,
                    event.key,
                    partition,
                    timestamp=0 if timestamp is None else timestamp or 1,  # 0 means now
                    headers=[*event.headers],
                    on_delivery=report,
                )
            except BufferError:
                deadline = deadline or time.monotonic() + patience
                if time.monotonic() > deadline:
                    raise Unavailable(
                        "Kafka: publishing: the producer is full", code="kafka"
                    ) from None
                producer.poll(_SLICE)
            else:
                return

    def wait(self, is_done: Callable[[], bool], patience: float) -> None:
        """Receive acknowledgements until it is done.

        Raises:
            Unavailable: An event was rejected, or is overdue; every later wait raises it again.
        """
        deadline = time.monotonic() + patience
        while not is_done():
            self.check()
            if time.monotonic() > deadline:
                self.fail(
                    Unavailable("Kafka: the acknowledgement of an event is overdue", code="kafka")
                )
            waiting = [each for each in self._all() if len(each)]
            if not sum(each.poll(0) for each in waiting) and waiting:
                waiting[0].poll(_PAUSE)

    def check(self) -> None:
        """Raise the first failure, if there is one."""
        if self._failure:
            raise self._failure.with_traceback(None)

    def fail(self, found: Unavailable) -> None:
        self._failure = self._failure or found

    def end(self) -> None:
        """Close the producers at once, with all records that they still hold."""
        for producer in self._all():
            if len(producer):
                self.fail(
                    Unavailable(
                        "Kafka: events were dropped before their acknowledgement", code="kafka"
                    )
                )
            producer.purge()
            producer.close()

    def _all(self) -> list[Producer]:
        return [producer for lanes in self._producers.values() for producer in lanes]

    def _beside(self, batch: int) -> list[Producer]:
        if batch not in self._producers:
            self._producers[batch] = [self._producer(batch) for _ in range(self._lanes)]
        return self._producers[batch]

    def _producer(self, batch: int) -> Producer:
        return self._connection.producer(
            self._notify,
            {
                "batch.num.messages": 100_000,
                "batch.size": batch,
                "linger.ms": 10,
                "message.max.bytes": 8 * 1024 * 1024,
                "queue.buffering.max.kbytes": 256 * 1024,
                "queue.buffering.max.messages": 1_000_000,
            },
        )

    def _notify(self, error: KafkaError) -> None:
        if error.fatal() or is_final(error):
            self.note(error, "publishing")

    def note(self, error: KafkaError, doing: str) -> None:
        """Keep the failure that an error means."""
        found = failure(error, doing)
        self.fail(
            found if isinstance(found, Unavailable) else Unavailable(str(found), code="kafka")
        )


@define
class ConfluentPublisher:
    """An `EventPublisher` over idempotent producers, connected when first used.

    A timestamp of 0 is published as 1, a millisecond later: in librdkafka, 0 means now.

    Attributes:
        count_partitions: Returns the number of partitions of the source. If the topic has the same
            number, an event goes to the partition of its payment's record; if not, to that of its
            key.
        ack_timeout: Seconds to wait for acknowledgements. The producers themselves try for ever, so
            no later event can overtake an event that a producer has given up.
        lanes: The number of parallel producers. librdkafka sends one request for each batch of a
            partition, and a broker answers the requests of a connection one after the other, each
            when all replicas have the batch.
    """

    _connection: ConfluentConnection
    _count_partitions: Callable[[], int] | None = None
    _ack_timeout: float = ACK_TIMEOUT
    _lanes: int = 8
    _session: _Session | None = field(default=None, init=False)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        """Hand the events to the producers."""
        with translate_errors("publishing"):
            if self._session is None:
                counted = self._count_partitions() if self._count_partitions else None
                self._session = _Session(self._connection, counted, self._lanes)
            session = self._session
            session.check()
            session.find({event.topic for event in events})
            publication = ConfluentPublication(session, self._ack_timeout, len(events))
            for event in events:
                session.send(event, publication.report, self._ack_timeout)
        return publication

    def reset(self) -> None:
        """Close the producers at once, with all records that they still hold."""
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def close(self) -> None:
        """Close the producers; whatever was waited for is acknowledged already."""
        self.reset()


@define
class ConfluentPublication:
    """Records handed to the producers of one session.

    Attributes:
        waiting: The number of records that are not acknowledged.
    """

    _session: _Session
    _ack_timeout: float
    _waiting: int

    def report(self, error: KafkaError | None, message: Message) -> None:
        """Receive the report on a record, while its producer is polled."""
        if error is None:
            self._waiting -= 1
        else:
            self._session.note(error, f"publishing to {message.topic()}")

    def wait(self) -> None:
        """Receive the reports on these records, and on others that come before them."""
        self._session.wait(lambda: not self._waiting, self._ack_timeout)
