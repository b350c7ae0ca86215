"""Brokers go away and come back."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from kafka import KafkaAdminClient
from tests.harness.deployment import (
    RECORDS,
    SEED,
    Deployment,
    Program,
    busy,
    by_either_client,
    eventually,
    rows,
)
from tests.harness.stack.kafka import BROKERS, KafkaCluster

from voltpay_adapters.confluent import ConfluentConnection, ConfluentSource
from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import create
from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition

Source = KafkaSource | ConfluentSource
Change = Callable[[KafkaCluster, int], None]


def resume(brokers: KafkaCluster, broker: int) -> None:
    brokers.resume_broker(broker)
    brokers.wait_until_in_sync(broker)


ABSENCES = {
    "stopped": (KafkaCluster.stop_broker, KafkaCluster.start_broker),
    "killed": (KafkaCluster.kill_broker, KafkaCluster.start_broker),
    "suspended": (KafkaCluster.suspend_broker, resume),
}


@by_either_client
@pytest.mark.parametrize("change", rows(ABSENCES, "killed"))
def test_a_broker_is_away(
    deployment: Deployment, brokers: KafkaCluster, change: tuple[Change, Change]
) -> None:
    """While half of the brokers are away the writer waits, then it continues by itself."""
    consumer, broker = busy(deployment, "--exit-eof"), SEED % 2 + 1
    for act in change:
        act(brokers, broker)
    assert consumer.exit_code() == 0
    assert deployment.violations(kills=2) == []


@pytest.mark.faults
def test_killed_while_a_broker_is_away(deployment: Deployment, brokers: KafkaCluster) -> None:
    """Nothing is acknowledged whose events are not: a kill in the middle of an outage shows it."""
    deployment.feed(RECORDS)
    broker = SEED % 2 + 1
    brokers.kill_broker(broker)
    try:
        consumer = deployment.consume(1, "--exit-eof", limits__publish_seconds=2)
        outlast(consumer, attempts=3)
        consumer.end(signal.SIGKILL)
    finally:
        brokers.start_broker(broker)
    deployment.drain()
    assert deployment.violations(kills=2) == []


@pytest.mark.faults
def test_leaders_change_unnoticed(deployment: Deployment, brokers: KafkaCluster) -> None:
    """A source that has nothing to fetch finds the new leaders of its partitions all the same."""
    brokers.stop_broker(1)
    brokers.start_broker(1)
    with an_owner(deployment, deployment.topics.writer) as (source, partitions):
        with closing(deployment.admin()) as admin:
            before = leaders(admin, deployment.topics.writer)
            admin.elect_leaders(0, raise_errors=False)  # the preferred ones
            eventually(lambda: leaders(admin, deployment.topics.writer) != before)
        eventually(lambda: not complaint(source, partitions), seconds=60)


@pytest.mark.faults
def test_a_partition_has_no_leader(deployment: Deployment, brokers: KafkaCluster) -> None:
    """Where the only broker of a partition is away, the source is unavailable, and says so."""
    topic = f"alone-{deployment.token}"
    create(deployment.connection, [Topic(topic, deployment.partitions, 1)])
    missing = "Leader not available" if deployment.client == "confluent" else "no leader"
    with an_owner(deployment, topic) as (source, partitions):
        brokers.kill_broker(1)
        try:
            eventually(lambda: missing in complaint(source, partitions))
        finally:
            brokers.start_broker(1)


@contextmanager
def an_owner(deployment: Deployment, topic: str) -> Iterator[tuple[Source, set[Partition]]]:
    """A source that owns all partitions of a topic, and has read nothing yet."""
    with closing(a_source(deployment, topic)) as source:
        assigned: set[Partition] = set()
        while len(assigned) < deployment.partitions:
            with suppress(Unavailable):  # a broker that does not know the topic yet
                assigned |= source.poll(0).assigned
        yield source, assigned


def a_source(deployment: Deployment, topic: str) -> Source:
    group = deployment.group.name
    if deployment.client == "confluent":
        return ConfluentSource(ConfluentConnection.parse(deployment.kafka.url), topic, group)
    return KafkaSource(deployment.connection, topic, group)


def leaders(admin: KafkaAdminClient, topic: str) -> list[int]:
    (described,) = admin.describe_topics([topic])
    return [partition["leader_id"] for partition in described["partitions"]]


def complaint(source: Source, partitions: set[Partition]) -> str:
    try:
        source.seek_to_committed(partitions)
    except Unavailable as error:
        return str(error)
    return ""


@pytest.mark.faults
@pytest.mark.parametrize("broker", BROKERS)
def test_a_broker_is_away_for_a_minute(
    deployment: Deployment, brokers: KafkaCluster, broker: int
) -> None:
    """The writer waits while any one broker is away."""
    consumer = busy(deployment, "--exit-eof")
    brokers.kill_broker(broker)
    try:
        outlast(consumer, attempts=3)
    finally:
        brokers.start_broker(broker)
    assert consumer.exit_code() == 0
    assert deployment.violations(kills=2) == []


@pytest.mark.faults
def test_all_brokers_die(deployment: Deployment, brokers: KafkaCluster) -> None:
    """The writer waits for its brokers, and continues when they are back."""
    consumer = busy(deployment, "--exit-eof")
    brokers.crash_brokers()
    assert consumer.exit_code() == 0
    assert deployment.violations(kills=2) == []


def outlast(consumer: Program, attempts: int) -> None:
    """Wait for this number of its attempts."""
    eventually(lambda: f"attempt {attempts}" in consumer.printed(), seconds=300)
