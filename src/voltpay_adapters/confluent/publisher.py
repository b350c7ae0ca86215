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
from voltpay_adapters.kafka.requirements import whole_number
from voltpay_core.errors import Unavailable
from voltpay_core.ports import Publication
from voltpay_core.records import ProducerRecord

_BY_KEY = -1
"""Lets the partitioner choose."""

_BATCH = 1_000_000
"""Bytes of a batch where its topic takes as many."""

_SLICE = 0.5
"""Seconds for one wait in which no signal is handled."""


@frozen
class _Target:
    """A topic, and how it is reached.

    Attributes:
        producers: One of them has all records of a partition, or of a key.
        partitions: Their number where it is the source's; 0 where the key chooses.
    """

    producers: Sequence[Producer]
    partitions: int


@define
class _Session:
    """Producers that are ended together, and the first failure of any of them.

    There are some for each size of batch: librdkafka fails a batch that is too long for its topic,
    where other clients send it in parts.
    """

    _connection: ConfluentConnection
    _source_partitions: int | None
    _lanes: int
    _producers: dict[int, list[Producer]] = field(factory=dict, init=False)
    _targets: dict[str, _Target] = field(factory=dict, init=False)
    _failure: Unavailable | None = field(default=None, init=False)

    def find(self, topics: Collection[str]) -> None:
        """Look up those of these topics that are not known."""
        if not (new := topics - self._targets.keys()):
            return
        with self._connection.topic_admin("looking up topics") as admin:
            shapes, configurations = admin.shapes(new), admin.configurations(new)
        for topic in new:
            if topic not in shapes:
                raise Unavailable(f"Kafka has no topic {topic}", code="no-topic")
            longest = whole_number(configurations[topic].get("max.message.bytes", ""))
            same = shapes[topic].partitions == self._source_partitions
            self._targets[topic] = _Target(
                self._beside(min(longest or _BATCH, _BATCH)),
                shapes[topic].partitions if same else 0,
            )

    def send(self, event: ProducerRecord, patience: float) -> None:
        """Hand an event to its topic's producer; wait where that is full."""
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
                    timestamp=0 if timestamp is None else timestamp or 1,  # 0 stands for now
                    headers=[*event.headers],
                )
            except BufferError:
                deadline = deadline or time.monotonic() + patience
                if time.monotonic() > deadline:
                    raise Unavailable("Kafka: publishing: too many events wait") from None
                producer.poll(_SLICE)
            else:
                return

    def wait(self, patience: float) -> None:
        """Return when everything is acknowledged.

        Raises:
            Unavailable: An event was refused, or is overdue; from then on at each wait.
        """
        deadline = time.monotonic() + patience
        while not self._failure and (waiting := [each for each in self._all() if len(each)]):
            if time.monotonic() > deadline:
                self.fail(Unavailable("Kafka: the acknowledgement of an event is overdue"))
            for producer in waiting:
                producer.flush(min(_SLICE, patience))
        self.check()

    def check(self) -> None:
        """Raise the first failure, if there is one."""
        if self._failure:
            raise self._failure.with_traceback(None)

    def fail(self, found: Unavailable) -> None:
        self._failure = self._failure or found

    def end(self) -> None:
        """End the producers with all that they still hold."""
        for producer in self._all():
            if len(producer):
                self.fail(Unavailable("Kafka: events were dropped before their acknowledgement"))
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
            self._told,
            self._failed,
            {
                "batch.num.messages": 100_000,
                "batch.size": batch,
                "linger.ms": 20,
                "message.max.bytes": 8 * 1024 * 1024,
                "queue.buffering.max.kbytes": 256 * 1024,
                "queue.buffering.max.messages": 1_000_000,
            },
        )

    def _told(self, error: KafkaError) -> None:
        if error.fatal() or is_final(error):
            self._note(error, "publishing")

    def _failed(self, error: KafkaError, message: Message) -> None:
        self._note(error, f"publishing to {message.topic()}")

    def _note(self, error: KafkaError, doing: str) -> None:
        found = failure(error, doing)
        self.fail(found if isinstance(found, Unavailable) else Unavailable(str(found)))


@define
class ConfluentPublisher:
    """An `EventPublisher` over idempotent producers, connected when first used.

    A timestamp of 0 is published as 1, a millisecond later: librdkafka takes 0 for now.

    Attributes:
        count_partitions: Returns the number of partitions of the source. A topic with as many gets
            each event in the partition of its payment's record; any other selects it by the key.
        ack_timeout: Seconds to wait for acknowledgements; the producers themselves try without end,
            so that no later event can overtake one that they have given up.
        lanes: Producers beside one another. librdkafka sends the batch of each partition by itself,
            and a broker answers the requests of a connection one after the other, each once all
            replicas have it.
    """

    _connection: ConfluentConnection
    _count_partitions: Callable[[], int] | None = None
    _ack_timeout: float = 30
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
            for event in events:
                session.send(event, self._ack_timeout)
        return ConfluentPublication(session, self._ack_timeout)

    def reset(self) -> None:
        """End the producers with all that they still hold."""
        session, self._session = self._session, None
        if session is not None:
            session.end()

    def close(self) -> None:
        """End the producers; everything awaited is acknowledged by now."""
        self.reset()


@frozen
class ConfluentPublication:
    """Records handed to the producers of one session."""

    _session: _Session
    _ack_timeout: float

    def wait(self) -> None:
        """Flush the producers, those of later records as well."""
        self._session.wait(self._ack_timeout)
