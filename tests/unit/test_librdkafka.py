"""What librdkafka reports: its log, its options, and the id of a topic."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any
from uuid import UUID, uuid4

import pytest
from attrs import define, field, frozen
from confluent_kafka import KafkaError, KafkaException

from voltpay_adapters.confluent.connection import (
    METADATA_MS,
    ConfluentConnection,
    failure,
    translate_errors,
)
from voltpay_adapters.confluent.options import access_options, is_known_access
from voltpay_adapters.confluent.topic_admin import Description, described
from voltpay_adapters.confluent.topic_watch import TopicWatch
from voltpay_adapters.kafka.topics import Shape
from voltpay_core.errors import Fenced
from voltpay_core.records import Partition

OWNED = frozenset({Partition("payments", 0)})
ID = UUID(int=(7 << 127) + 11 & 2**128 - 1)  # whose higher half is negative in Java


def test_a_failure_may_name_no_partition() -> None:
    """Without partitions, whoever is fenced loses none of them by name."""
    found = failure(KafkaError(KafkaError.ILLEGAL_GENERATION), "reading")
    assert isinstance(found, Fenced)
    assert found.partitions == frozenset()


def test_other_errors_pass() -> None:
    """Only librdkafka's own errors are translated."""
    with pytest.raises(KeyError), translate_errors("reading"):
        raise KeyError


def logged(connection: ConfluentConnection, caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    """What the log of a client shows of its options."""
    caplog.set_level(logging.DEBUG, "voltpay.kafka.librdkafka")
    connection.admin().poll(1)
    for each in caplog.records:
        _, found, line = each.getMessage().partition("]:   ")
        if found:
            yield line


def test_options_reach_each_client(caplog: pytest.LogCaptureFixture) -> None:
    """A client has the servers, a short memory of topics, and the options of its connection."""
    options = {"debug": "conf", "client_id": "a-client"}
    connection = ConfluentConnection.parse("kafka://127.0.0.1:1,127.0.0.1:2", options)
    lines = set(logged(connection, caplog))
    assert {
        "metadata.broker.list = 127.0.0.1:1,127.0.0.1:2",
        "security.protocol = plaintext",
        f"topic.metadata.refresh.interval.ms = {METADATA_MS}",
        "client.id = a-client",
    } <= lines


def test_who_has_all_options_for_access() -> None:
    """Options of TLS and SASL that only librdkafka has make it do the access check itself."""
    assert is_known_access({})
    assert is_known_access({"sasl.username": "me", "ssl.key.location": "key", "linger.ms": "1"})
    assert not is_known_access({"ssl.ca.pem": "x", "sasl.username": "me"})
    assert not is_known_access({"sasl.kerberos.keytab": "x"})
    assert access_options({"linger.ms": "1", "sasl.username": "me", "ssl.ca.location": "ca"}) == {
        "sasl_plain_username": "me",
        "ssl_cafile": "ca",
    }


@pytest.mark.parametrize(("text", "checked"), [("none", False), ("https", True)])
def test_the_check_of_the_hosts_name_is_a_word(text: str, checked: bool) -> None:
    """What librdkafka calls the algorithm says to kafka-python whether there is one."""
    options = access_options({"ssl.endpoint.identification.algorithm": text})
    assert options == {"ssl_check_hostname": checked}


@frozen
class JavaId:
    """A topic's id as librdkafka has it: two signed halves."""

    whole: UUID | None

    def get_most_significant_bits(self) -> int:
        return _signed((self.whole.int if self.whole else 0) >> 64)

    def get_least_significant_bits(self) -> int:
        return _signed((self.whole.int if self.whole else 0) % 2**64)


def _signed(half: int) -> int:
    return half - 2**64 if half >= 2**63 else half


@frozen
class Layout:
    replicas: list[int]


@frozen
class Answer:
    topic_id: JavaId
    partitions: list[Layout]


def answer(topic_id: UUID | None, *replicas: int) -> Future[Any]:
    done: Future[Any] = Future()
    layouts = [Layout(list(range(count))) for count in replicas]
    done.set_result(Answer(JavaId(topic_id), layouts))
    return done


def failed(code: int) -> Future[Any]:
    done: Future[Any] = Future()
    done.set_exception(KafkaException(KafkaError(code)))
    return done


@pytest.mark.parametrize("topic_id", [ID, UUID(int=2**127), UUID(int=1), uuid4(), None])
def test_a_topics_id_is_put_together(topic_id: UUID | None) -> None:
    """The two signed halves become one id; brokers without ids give none."""
    assert described(answer(topic_id, 3, 1, 2)) == Description(topic_id, Shape(3, 1))
    assert described(answer(topic_id)) == Description(topic_id, Shape(0, 0))


def test_a_topic_that_does_not_exist_is_no_failure() -> None:
    """Any other error than a missing topic is raised."""
    assert described(failed(KafkaError.UNKNOWN_TOPIC_OR_PART)) is None
    with pytest.raises(KafkaException):
        described(failed(KafkaError._TRANSPORT))


@define
class Asked:
    """The answers to come, and for which topics they were requested."""

    answers: list[Future[Any]]
    topics: list[str] = field(factory=list)

    def ask(self, topic: str) -> Future[Any]:
        self.topics.append(topic)
        return self.answers.pop(0)


def watch(topic_id: UUID | None, every: float, *answers: Future[Any]) -> tuple[TopicWatch, Asked]:
    asked = Asked([*answers])
    return TopicWatch(asked, "payments", topic_id, every), asked  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("found", "changed"),
    [
        (answer(ID, 1), False),
        (answer(uuid4(), 1), True),
        (answer(None, 1), True),
        (failed(KafkaError.UNKNOWN_TOPIC_OR_PART), True),
        (failed(KafkaError._TRANSPORT), False),
    ],
)
def test_a_watch_notices_another_topic(found: Future[Any], changed: bool) -> None:
    """A topic has changed if its id has, or if it is gone; an outage says nothing about it."""
    watching, asked = watch(ID, 0, found, answer(ID, 1))
    assert not watching.has_changed()  # it has only asked
    assert watching.has_changed() is changed
    assert not watching.has_changed()
    assert asked.topics == ["payments", "payments"]


def test_a_watch_never_waits() -> None:
    """While an answer is on its way nothing has changed, and nothing more is asked."""
    late: Future[Any] = Future()
    watching, asked = watch(ID, 0, late)
    assert not any(watching.has_changed() for _ in range(3))
    late.set_result(answer(uuid4(), 1).result())
    assert watching.has_changed()
    assert asked.topics == ["payments"]


def test_a_watch_asks_seldom_unless_it_must_hurry() -> None:
    """After an answer the next request waits, until somebody has a reason to ask at once."""
    watching, asked = watch(ID, 3600, answer(ID, 1), answer(uuid4(), 1))
    assert not any(watching.has_changed() for _ in range(5))
    assert len(asked.topics) == 1
    watching.hurry()
    assert not watching.has_changed()
    assert watching.has_changed()
    assert len(asked.topics) == 2
