"""The servers that the other integration tests stand on."""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer
from kafka.errors import KafkaTimeoutError
from tests.harness.stack.kafka import KafkaAddress, KafkaCluster
from tests.harness.stack.places import ROOT
from tests.harness.stack.postgres import PostgresAddress, PostgresServer, StopMode
from tests.harness.stack.processes import StackError, descendants, wait_until_gone


@pytest.fixture
def database(postgres: PostgresAddress) -> Iterator[str]:
    name = f"stack_{uuid.uuid4().hex}"
    postgres.create_database(name)
    yield name
    postgres.drop_database(name)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user when we are root
        yield Path(folder)


def new_topic(kafka: KafkaAddress) -> str:
    name = f"stack-{uuid.uuid4()}"
    admin = KafkaAdminClient(bootstrap_servers=kafka.bootstrap)
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 2}})
    admin.close()
    return name


def test_a_produced_record_can_be_consumed(kafka: KafkaAddress) -> None:
    """What is produced is consumed, byte for byte."""
    topic = new_topic(kafka)
    producer = KafkaProducer(bootstrap_servers=kafka.bootstrap, acks="all")
    producer.send(topic, b"value", key=b"key").get(timeout=30)
    producer.close()
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=kafka.bootstrap,
        group_id=topic,
        auto_offset_reset="earliest",
        consumer_timeout_ms=30_000,
    )
    record = next(consumer)
    consumer.close()
    assert (record.key, record.value) == (b"key", b"value")


Change = Callable[[KafkaCluster, int], None]


@pytest.mark.parametrize(
    ("broker", "leaves", "returns"),
    [
        (1, KafkaCluster.kill_broker, KafkaCluster.start_broker),
        (2, KafkaCluster.stop_broker, KafkaCluster.start_broker),
        (1, KafkaCluster.suspend_broker, KafkaCluster.resume_broker),
    ],
    ids=["killed", "stopped", "suspended"],
)
def test_a_broker_may_go_and_come_back(
    kafka_cluster: KafkaCluster, broker: int, leaves: Change, returns: Change
) -> None:
    """A record with acks=all waits while a broker is away, and is taken once it is back."""
    topic = new_topic(kafka_cluster)
    producer = KafkaProducer(bootstrap_servers=kafka_cluster.bootstrap, acks="all")
    producer.send(topic, b"before").get(timeout=30)
    leaves(kafka_cluster, broker)
    waiting = producer.send(topic, b"waits")
    with pytest.raises(KafkaTimeoutError):
        waiting.get(timeout=1)
    returns(kafka_cluster, broker)
    kafka_cluster.wait_until_in_sync(broker)
    taken = waiting.get(timeout=30)
    producer.close()
    assert taken.offset == 1


def test_pg_partman_can_be_created(postgres: PostgresAddress, database: str) -> None:
    """Every database of the server can have pg_partman, 4 or 5."""
    postgres.run_sql(
        "CREATE SCHEMA partman; CREATE EXTENSION pg_partman SCHEMA partman", database=database
    )
    version = postgres.run_sql(
        "SELECT extversion FROM pg_extension WHERE extname = 'pg_partman'", database=database
    )
    assert version[0] in "45"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_restarted_server_keeps_its_rows(postgres_server: PostgresServer, mode: StopMode) -> None:
    """Committed rows are there after a restart, also after a crash and without fsync."""
    postgres_server.run_sql("CREATE TABLE kept AS SELECT 7 AS number")
    postgres_server.restart(mode)
    number = postgres_server.run_sql("SELECT number FROM kept")
    postgres_server.run_sql("DROP TABLE kept")
    assert number == "7"


def test_rejected_sql_is_an_error(postgres: PostgresAddress) -> None:
    """A failed statement raises with what the server said."""
    with pytest.raises(StackError, match='relation "nowhere" does not exist'):
        postgres.run_sql("SELECT * FROM nowhere")


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGKILL])
def test_no_process_outlives_the_stack(
    kafka_cluster: KafkaCluster, postgres_server: PostgresServer, open_folder: Path, ending: int
) -> None:
    """When the stack ends, however it ends, none of its processes is left."""
    with subprocess.Popen(
        [sys.executable, "-m", "tests.harness.stack", "--bare"],
        cwd=ROOT,
        env=os.environ | {"TMPDIR": str(open_folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as stack:
        assert stack.stdout is not None
        assert stack.stdout.readline().startswith("export VOLTPAY_SOURCE=")
        started = descendants(stack.pid)
        stack.send_signal(ending)
    wait_until_gone(started, seconds=60)
    assert len(started) > 4  # the brokers, the controller, PostgreSQL and its own children
