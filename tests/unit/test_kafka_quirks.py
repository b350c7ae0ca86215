"""The internals of kafka-python that the adapters use are there, on clients without a server."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.coordinator.base import MemberState

from voltpay_adapters.kafka import quirks

TP = TopicPartition("payments", 0)


@pytest.fixture
def server() -> Iterator[str]:
    """The address of a server that never answers."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.fixture
def consumer(server: str) -> Iterator[KafkaConsumer]:
    """A member of a group that never reaches its coordinator."""
    made = KafkaConsumer(bootstrap_servers=server, group_id="group", api_version=(2, 8))
    yield made
    made.close(autocommit=False, timeout_ms=0)


def levels(caplog: pytest.LogCaptureFixture) -> list[int]:
    """The levels of what the adapter has logged; the client logs, too."""
    return [record.levelno for record in caplog.records if record.name == "voltpay.kafka"]


def test_an_unfinished_join_is_resumed_and_logged(
    consumer: KafkaConsumer, caplog: pytest.LogCaptureFixture
) -> None:
    """A join that was left unfinished is asked for again, with a warning; others are left alone."""
    consumer.subscribe([TP.topic])
    coordinator = consumer._coordinator
    quirks.resume_join(consumer)
    assert levels(caplog) == []
    coordinator.state, coordinator.rejoin_needed = MemberState.REBALANCING, False
    coordinator._joined_subscription = {TP.topic}
    quirks.resume_join(consumer)
    assert quirks.needs_rejoin(consumer)
    assert levels(caplog) == [logging.WARNING]
    assert "left a join unfinished" in caplog.text
    quirks.resume_join(consumer)
    assert levels(caplog) == [logging.WARNING]


def test_consumed_offsets_are_the_positions(consumer: KafkaConsumer) -> None:
    """A partition has a consumed offset as soon as it has a position."""
    consumer.assign([TP])
    assert quirks.consumed_offsets(consumer) == {}
    consumer.seek(TP, 7)
    assert quirks.consumed_offsets(consumer) == {TP: 7}


def test_what_is_not_known_is_none(consumer: KafkaConsumer) -> None:
    """Before the first answer of a broker there is neither a topic id nor an unreadable record."""
    assert quirks.topic_id(consumer, TP.topic) is None
    assert quirks.unreadable_record(consumer) is None


def test_an_aborted_producer_is_closed(server: str) -> None:
    """A producer without records is closed, and its thread has ended."""
    producer = KafkaProducer(bootstrap_servers=server, api_version=(2, 8))
    quirks.abort(producer)
    producer._sender.join(10)
    assert not producer._sender.is_alive()


def test_an_aborted_producer_drops_what_waits(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A producer with waiting records ends at once: they fail, and the log says so."""
    caplog.set_level(logging.INFO, "voltpay.kafka")
    producer = KafkaProducer(bootstrap_servers=server, api_version=(2, 8))
    waiting, *_ = producer._accumulator.append(TP, 0, None, b"value", [])
    quirks.abort(producer)
    assert waiting.failed()
    assert not producer._sender.is_alive()
    assert levels(caplog) == [logging.INFO]


def test_only_the_placeholder_becomes_null() -> None:
    """The serializer sends its placeholder as null, and an equal value of a record unchanged."""
    serializer = quirks.null_values()
    assert serializer.serialize("topic", (), quirks.NULL) is None
    assert serializer.serialize("topic", (), b"null") == b"null"
