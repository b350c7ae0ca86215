"""All uses of kafka-python's internals, as versions 3.0.9 to 3.0.12 have them, and their reasons.

Numbers such as #2855 are issues and pull requests of github.com/dpkp/kafka-python.
"""

from __future__ import annotations

import logging
from uuid import UUID

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.serializer import SerializeWrapper

_log = logging.getLogger("voltpay.kafka")

NULL = bytes(bytearray(b"null"))  # an object that no record can hold
"""Stands for a null value: `send` rejects a record whose key and value are both null."""


def null_values() -> SerializeWrapper:
    """A serializer of values that sends `NULL` as null and all other bytes unchanged."""
    return SerializeWrapper(lambda value: None if value is NULL else value)


def resume_join(consumer: KafkaConsumer) -> None:
    """Join the group again if the client has not finished a join that took longer than its poll.

    Such a member sends no heartbeats, and its commits fail. Upstream: #2855 describes a consumer
    without assignment after a successful join, #2528 fixed one such case.
    """
    coordinator = consumer._coordinator
    if coordinator.rebalance_in_progress():
        if not coordinator.need_rejoin():
            _log.warning("Kafka: the client left a join unfinished; joining the group again")
        coordinator.request_rejoin()


def needs_rejoin(consumer: KafkaConsumer) -> bool:
    """Whether the next poll joins the group; the public API does not say. Upstream: none found."""
    return bool(consumer._coordinator.need_rejoin())


def consumed_offsets(consumer: KafkaConsumer) -> dict[TopicPartition, int]:
    """The next offset of each partition that has a position.

    The public `position` waits for the client's thread, once for each partition. Upstream: none
    found.
    """
    consumed = consumer._subscription.all_consumed_offsets()
    return {tp: position.offset for tp, position in consumed.items()}


def topic_id(consumer: KafkaConsumer, topic: str) -> UUID | None:
    """The id that a topic got when it was created; None if the brokers do not have ids.

    Upstream: #3031 stores the ids (KIP-516); consumers have no public method for them.
    """
    found: UUID | None = consumer._cluster.topic_id(topic)
    return found


def unreadable_record(consumer: KafkaConsumer) -> tuple[TopicPartition, int] | None:
    """The partition and offset of the record that a poll could not decode; None if not known.

    The client's error does not have them, as Java's has since KIP-334. Upstream: none found.
    """
    part = consumer._fetcher._next_partition_records
    return None if part is None else (part.topic_partition, part.next_fetch_offset)


def abort(producer: KafkaProducer) -> None:
    """Close a producer at once, with all records that it still holds.

    `close` first flushes, whatever its timeout: a record that is to be dropped would be sent, and
    could arrive after later ones. So its thread ends first. Upstream: #2537 added that flush.
    """
    if producer._accumulator._incomplete.all():
        _log.info("Kafka: dropped records that were not acknowledged")
    producer._sender.force_close()
    producer._sender.join()
    producer.close(timeout=0)
