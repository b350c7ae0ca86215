"""The four topics on one cluster or two: created, compared, and what endangers records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest
from attrs import evolve
from tests.harness.topics import MemoryCluster

from voltpay_adapters.kafka.payment_topics import PaymentTopics
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.kafka.topics import Shape
from voltpay_core.codec import Topics
from voltpay_core.errors import Misconfigured, Unavailable

NAMES = Topics()
WRITER, *OUTPUT = NAMES.writer, NAMES.read, NAMES.email, NAMES.dead_letter
POLICY = TopicPolicy(partitions=3)


@pytest.fixture
def cluster() -> MemoryCluster:
    """A cluster that has the four topics as they must be."""
    made = MemoryCluster()
    PaymentTopics(made, made, POLICY).create()
    return made


def answers(topics: PaymentTopics) -> list[tuple[str, str]]:
    """The answers of a check: each question with the code of its failure, or its answer."""
    return [
        (each.name, each.answer if isinstance(each.answer, str) else each.answer.code)
        for each in topics.check()
    ]


def test_missing_topics_are_created() -> None:
    """The topics are created in order, and those that exist are left alone."""
    cluster = MemoryCluster()
    topics = PaymentTopics(cluster, cluster, POLICY)
    assert topics.create() == [WRITER, *OUTPUT]
    assert topics.create() == []
    assert cluster.shaped == dict.fromkeys((WRITER, *OUTPUT), Shape(3, 2))
    assert topics.find_drift() == topics.risks() == []
    del cluster.shaped[NAMES.email]
    assert topics.create() == [NAMES.email]


def test_payments_and_events_may_be_on_two_clusters() -> None:
    """Each cluster has its own topics, and is named where all is well."""
    source, events = MemoryCluster(("a:1",)), MemoryCluster()
    topics = PaymentTopics(source, events, POLICY)
    assert topics.create() == [WRITER, *OUTPUT]
    assert (list(source.shaped), list(events.shaped)) == ([WRITER], OUTPUT)
    assert answers(topics) == [
        ("broker", "reached kafka://a:1, kafka://one:9092,two:9092"),
        ("topics", "all four match the settings"),
    ]
    del events.shaped[NAMES.read]
    assert [str(each) for each in topics.find_drift()] == [f"{NAMES.read} does not exist"]


@pytest.mark.parametrize(("own", "expected"), [("source", [WRITER]), ("events", OUTPUT)])
def test_only_one_side_may_be_on_kafka(own: str, expected: list[str]) -> None:
    """Where only payments or only events are on Kafka, only their topics count."""
    cluster = MemoryCluster()
    sides = {"source": None, "events": None, own: cluster}
    topics = PaymentTopics(**sides, policy=POLICY)
    assert topics.create() == list(cluster.shaped) == expected
    assert answers(topics)[0] == ("broker", "reached kafka://one:9092,two:9092")


def test_dead_letters_are_longer_than_the_longest_payment(cluster: MemoryCluster) -> None:
    """The input topic's limit decides how long dead letters may be: on creation and afterwards."""
    topics = PaymentTopics(cluster, cluster, POLICY)
    cluster.settings[WRITER]["max.message.bytes"] = "5000000"
    (short,) = topics.find_drift()
    assert (short.topic, short.code) == (NAMES.dead_letter, "topic-setting")
    assert "max.message.bytes=" in str(short)
    assert "at least 5016384" in str(short)
    del cluster.shaped[NAMES.dead_letter]
    topics.create()
    assert topics.find_drift() == []
    alone = PaymentTopics(None, MemoryCluster(), POLICY)
    alone.create()
    assert alone.find_drift() == []


@pytest.mark.parametrize(
    ("shape", "code", "words"),
    [
        (Shape(2, 2), "topic-partitions", "has 2 partitions, not 3"),
        (Shape(4, 2), "topic-partitions", "has 4 partitions, not 3"),
        (Shape(3, 1), "topic-replication", "has 1 replicas, not at least 2"),
        (Shape(3, 3), None, None),
        (None, "no-topic", "does not exist"),
    ],
)
def test_a_layout_is_compared(
    cluster: MemoryCluster, shape: Shape | None, code: str | None, words: str | None
) -> None:
    """Another number of partitions and fewer replicas are differences; more replicas are not."""
    if shape is None:
        del cluster.shaped[NAMES.read]
    else:
        cluster.shaped[NAMES.read] = shape
    topics = PaymentTopics(cluster, cluster, POLICY)
    found = [(each.topic, each.message, each.code) for each in topics.find_drift()]
    assert found == ([(NAMES.read, words, code)] if code else [])
    assert answers(topics)[1] == ("topics", code or "all four match the settings")


def test_what_endangers_records_is_a_risk(cluster: MemoryCluster) -> None:
    """Risks are settings that may lose records, and topics whose settings are not known."""
    topics = PaymentTopics(cluster, cluster, POLICY)
    cluster.settings[NAMES.read]["retention.ms"] = "1000"
    cluster.settings[NAMES.read]["max.message.bytes"] = "1000"  # halts the writer, loses nothing
    cluster.settings[NAMES.email] = {}
    records, unknown = topics.risks()
    assert str(records).startswith(f"{NAMES.read} has retention.ms=1000, not at least 86400000: ")
    assert (records.topic, records.code) == (NAMES.read, "topic-setting")
    assert (unknown.topic, unknown.code) == (NAMES.email, "topic-unknown")
    assert str(unknown).startswith(f"{NAMES.email} is not checked: ")


def test_the_risks_of_two_clusters_are_told() -> None:
    """Topics whose settings are not known are told of each cluster."""
    source, output = MemoryCluster(), MemoryCluster()
    topics = PaymentTopics(source, output, POLICY)
    topics.create()
    source.settings[WRITER], output.settings[NAMES.email] = {}, {}
    assert [risk.topic for risk in topics.risks()] == [WRITER, NAMES.email]


def test_vanishing_payments_are_fatal(cluster: MemoryCluster) -> None:
    """Where payments vanish although nothing fails, the writer must not start."""
    for name in (WRITER, NAMES.dead_letter):
        cluster.settings[name]["cleanup.policy"] = "compact"
    with pytest.raises(Misconfigured) as caught:
        PaymentTopics(cluster, cluster, POLICY).risks()
    assert caught.value.code == "payments-vanish"
    first, second = str(caught.value).split("; ")
    assert first.startswith(f"{WRITER} has cleanup.policy=compact, not delete: ")
    assert second.startswith(f"{NAMES.dead_letter} has cleanup.policy=compact, not delete: ")


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"retention.ms": "86400000", "segment.ms": "3600000"}, timedelta(hours=25)),
        ({"retention.ms": "-1", "segment.ms": "3600000"}, timedelta.max),
        ({"retention.ms": "0", "segment.ms": "0"}, timedelta(0)),
        ({"retention.ms": "86400000"}, timedelta.max),
        ({"segment.ms": "3600000"}, timedelta.max),
    ],
)
def test_the_retention_of_the_input_is_that_of_its_topic(
    cluster: MemoryCluster, settings: dict[str, str], kept: timedelta
) -> None:
    """A topic keeps records for its retention and a segment; without a limit, for ever."""
    cluster.settings[WRITER] = {"cleanup.policy": "delete", **settings}
    assert PaymentTopics(cluster, cluster, POLICY).input_retention() == kept
    elsewhere = PaymentTopics(None, cluster, evolve(POLICY, retention_hours=7))
    assert elsewhere.input_retention() == timedelta(hours=8)


def test_an_unknown_retention_halts(cluster: MemoryCluster) -> None:
    """Only a person can help where Kafka does not return the settings of the input topic."""
    cluster.settings[WRITER] = {}
    topics = PaymentTopics(cluster, cluster, POLICY)
    for call in (topics.input_retention, topics.find_drift):
        with pytest.raises(Unavailable, match=f"configuration of {WRITER}: ") as caught:
            call()
        assert caught.value.halt


@pytest.mark.parametrize(
    "call", [PaymentTopics.create, PaymentTopics.find_drift, PaymentTopics.risks]
)
def test_without_kafka_there_are_no_topics(call: Callable[[PaymentTopics], object]) -> None:
    """Commands for topics say that no topic is on Kafka."""
    topics = PaymentTopics(None, None, POLICY)
    with pytest.raises(Misconfigured, match=r"^neither payments nor events") as caught:
        call(topics)
    assert caught.value.code == "no-topics"
    assert answers(topics) == [("broker", "no-topics")]


def test_a_cluster_that_is_away_is_the_only_answer(cluster: MemoryCluster) -> None:
    """Of brokers that cannot be reached no topics are checked."""
    cluster.away = True
    ((name, code),) = answers(PaymentTopics(cluster, cluster, POLICY))
    assert (name, code) == ("broker", "unavailable")
