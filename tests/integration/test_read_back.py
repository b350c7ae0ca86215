"""Whatever is configured is read back from what lives: sessions, sockets, clients and grants."""

from __future__ import annotations

import logging
import re
import secrets
import socket
from collections.abc import Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from kafka import KafkaProducer
from kafka.coordinator.assignors.cooperative_sticky import CooperativeStickyAssignor
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection, identifier
from tests.harness.databases import Database, connected
from tests.harness.deployment import eventually
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.postgres import PostgresAddress
from tests.integration.test_sessions import bent, unusual

from voltpay_adapters.confluent import ConfluentConnection, ConfluentSource
from voltpay_adapters.confluent.publisher import _Session
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import create
from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.session import Session
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Unavailable
from voltpay_core.records import ProducerRecord

# Sessions in PostgreSQL

TUNING = (
    "Developer Options",
    "Query Tuning / ",
    "Resource Usage / ",
    "Statistics / ",
    "Version and Platform Compatibility / Previous PostgreSQL Versions",  # synchronize_seqscans
)
"""The categories of `pg_settings` that are the administrator's: they bend no answer."""

HARMLESS = {
    *("client_connection_check_interval", "commit_siblings", "wal_sender_timeout"),
    *("debug_pretty_print", "debug_print_parse", "debug_print_rewritten"),  # without constants
    *("default_text_search_config", "lc_monetary", "lc_numeric", "lc_time"),  # nothing reads them
    *("default_toast_compression", "wal_skip_threshold"),
    *("default_tablespace", "temp_tablespaces"),
    *("gin_fuzzy_search_limit", "gin_pending_list_limit", "password_encryption"),
    *("vacuum_failsafe_age", "vacuum_freeze_min_age", "vacuum_freeze_table_age"),
    *("vacuum_multixact_failsafe_age", "vacuum_multixact_freeze_min_age"),
    "vacuum_multixact_freeze_table_age",
}
"""Other settings that may be whatever they are."""

TIMEOUTS = {
    "lock_timeout": "1s",
    "statement_timeout": "2s",
    "idle_in_transaction_session_timeout": "3s",
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}
"""What a session has by `Timeouts(1, 2, 3)`."""


@pytest.mark.parametrize("extreme", [0, -1], ids=["least", "most"])
def test_no_other_setting_reaches_a_session(
    extreme: int, migrated_database: Database, postgres: PostgresAddress
) -> None:
    """Of all settings that users may change, a session takes none that could bend an answer."""
    with bent(postgres, migrated_database.name, unusual(postgres, extreme)):
        session = Session.open(DatabaseUrl.parse(migrated_database.writer), Timeouts())
        with closing(session):
            found = session.run(
                "SELECT name, category, source FROM pg_settings WHERE context = 'user'"
            )
    taken = {
        name
        for name, category, source in found
        if source in {"database user", "database", "user"} and not category.startswith(TUNING)
    }
    assert taken <= HARMLESS


def test_a_session_has_its_timeouts(migrated_database: Database) -> None:
    """The server ends what takes too long, and the session of a client that has vanished."""
    session = Session.open(DatabaseUrl.parse(migrated_database.writer), Timeouts(1, 2, 3))
    with closing(session):
        assert {name: session.run(f"SHOW {name}")[0][0] for name in TIMEOUTS} == TIMEOUTS


@pytest.mark.parametrize(("seconds", "statement", "answer"), [(None, "0", 600), (3, "3s", 6)])
def test_an_administrators_session_has_its_timeouts(
    seconds: int | None, statement: str, answer: float, migrated_database: Database
) -> None:
    """The server cancels what takes too long; the client waits for longer, or for maintenance."""
    target = DatabaseUrl.parse(migrated_database.writer)
    with admin_connection(target, statement_seconds=seconds) as connection:
        assert connection.run("SHOW statement_timeout") == [[statement]]
        link: socket.socket = connection._connection._usock
        assert link.gettimeout() == answer
        assert (connection.pooled, connection.encoding) == (False, "UTF8")
        assert connection.settings["statement_timeout"] == statement


def test_a_socket_to_postgresql_is_configured(migrated_database: Database) -> None:
    """The client sends at once, notices a dead peer, and waits longer than the server works."""
    session = Session.open(DatabaseUrl.parse(migrated_database.writer), Timeouts(statement=20))
    with closing(session):
        link: socket.socket = session._connection._usock
        assert link.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0
        assert link.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) != 0
        assert link.gettimeout() == 20 * 1.2 + 5


# Grants

ALLOWED = {
    "databasechangelog": {"SELECT"},
    "databasechangeloglock": set[str](),
    "idempotency": {"SELECT", "INSERT", "DELETE"},
    "outbox": {"SELECT", "INSERT", "DELETE"},
    "partition_fence": {"SELECT", "INSERT", "UPDATE"},
    "payment_core": {"SELECT", "INSERT"},
    "payment_metadata": {"SELECT", "INSERT"},
    "payment_notes": {"SELECT", "INSERT"},
}
"""What the writer may do with each table of its schema; with months, sequences and all else nothing
by itself."""

RELATIONS = """
    SELECT relname, relkind::text, array_agg(attname::text) FILTER (WHERE attidentity = '')
    FROM pg_catalog.pg_class JOIN pg_catalog.pg_attribute ON attrelid = pg_class.oid
    WHERE relnamespace = CAST(:schema AS regnamespace) AND relkind NOT IN ('i', 'I')
      AND attnum > 0 AND NOT attisdropped
    GROUP BY 1, 2 ORDER BY 1
"""


def attempts(table: str, columns: list[str]) -> Iterator[tuple[str, str]]:
    """Everything that can be tried with a table, by the privilege that it needs."""
    listed = ", ".join(map(identifier, columns))
    yield "INSERT", f"INSERT INTO {table} ({listed}) SELECT {listed} FROM {table} WHERE false"
    yield "DELETE", f"DELETE FROM {table}"
    yield "TRUNCATE", f"TRUNCATE {table}"
    yield "OWNER", f"ALTER TABLE {table} ADD COLUMN mine int"
    yield "OWNER", f"DROP TABLE {table}"
    yield "OWNER", f"CREATE INDEX ON {table} ({identifier(columns[0])})"
    yield "TRIGGER", f"CREATE TRIGGER mine BEFORE INSERT ON {table} EXECUTE FUNCTION now()"
    for column in map(identifier, columns):
        yield "SELECT", f"SELECT {column} FROM {table}"
        yield "UPDATE", f"UPDATE {table} SET {column} = {column}"


def is_allowed(connection: Connection, sql: str) -> bool:
    """Whether the role has the right for a statement, which is undone."""
    connection.run("BEGIN")
    try:
        connection.run(sql)
    except DatabaseError as error:
        if error.args[0]["C"] != "42501":
            raise
        return False
    finally:
        connection.run("ROLLBACK")
    return True


@pytest.mark.parametrize("schema", ["write", "partman"])
def test_the_writer_may_do_what_it_is_granted_and_no_more(
    schema: str, migrated_database: Database
) -> None:
    """With each table, month and sequence that exists everything is tried; the rest is refused."""
    with (
        connected(migrated_database.superuser) as superuser,
        connected(migrated_database.writer) as writer,
    ):
        relations = superuser.run(RELATIONS, schema=schema)
        tables = {name for name, kind, _ in relations if kind != "S" and "_p" not in name}
        assert schema != "write" or tables == set(ALLOWED)
        for name, kind, columns in relations:
            table = f"{schema}.{identifier(name)}"
            granted = ALLOWED.get(name, set()) if schema == "write" else set()
            if kind == "S":
                assert not is_allowed(writer, f"SELECT last_value FROM {table}")
                assert not is_allowed(writer, f"SELECT setval('{table}', 1)")
                continue
            for privilege, sql in attempts(table, columns):
                assert is_allowed(writer, sql) == (privilege in granted), sql


# Clients of Kafka


@pytest.fixture
def connection(kafka: KafkaAddress) -> KafkaConnection:
    return KafkaConnection.parse(f"kafka://{kafka.bootstrap}")


@pytest.fixture
def topic(connection: KafkaConnection) -> str:
    """A topic of one partition and one replica."""
    name = f"read-back-{secrets.token_hex(4)}"
    create(connection, [Topic(name, 1, 1)])
    return name


CONSUMER = {
    "allow_auto_create_topics": False,
    "auto_offset_reset": "none",
    "enable_auto_commit": False,
    "exclude_internal_topics": True,
    "fetch_max_bytes": 16 * 1024 * 1024,
    "isolation_level": "read_committed",
    "metadata_max_age_ms": 5_000,
    "partition_assignment_strategy": [CooperativeStickyAssignor],
    "session_timeout_ms": 10_000,
}
PRODUCER = {
    "acks": -1,  # all
    "allow_auto_create_topics": False,
    "batch_size": 256 * 1024,
    "delivery_timeout_ms": 28_000,
    "enable_idempotence": True,
    "linger_ms": 1_000,
    "max_block_ms": 7_000,
    "max_in_flight_requests_per_connection": 5,
    "max_request_size": 8 * 1024 * 1024,
    "request_timeout_ms": 14_000,
    "transactional_id": None,
}
"""By an acknowledgement timeout of seven seconds."""

PLACE = {"api_version", "bootstrap_servers", "client_id", "compression_attrs", "group_id"}
"""Options that name where a client is, or that it finds out."""


def read_back(client: Any, expected: Mapping[str, object]) -> None:
    """A client has these options, and otherwise kafka-python's defaults."""
    config, defaults = client.config, type(client).DEFAULT_CONFIG
    assert {name: config[name] for name in expected} == expected
    assert config["bootstrap_timeout_ms"] == 10_000
    other = {name for name, value in config.items() if value != defaults.get(name)}
    assert other <= {*expected, *PLACE, "bootstrap_timeout_ms", "value_serializer"}


def test_the_options_of_a_consumer(connection: KafkaConnection, topic: str) -> None:
    """A consumer of payments has the options that the guarantees rest on, and no other."""
    with closing(KafkaSource(connection, topic, "group")) as source:
        source.poll(0)
        read_back(source._consumer(), CONSUMER)
    with closing(connection.consumer()) as browser:
        fixed = ("allow_auto_create_topics", "enable_auto_commit", "isolation_level")
        read_back(browser, {name: CONSUMER[name] for name in (*fixed, "metadata_max_age_ms")})


def test_the_options_of_a_producer(connection: KafkaConnection) -> None:
    """A producer of events has the options that the guarantees rest on, and no other."""
    with closing(KafkaPublisher(connection, None, 7)) as publisher:
        read_back(publisher._producer(), PRODUCER)
    with closing(KafkaPublisher(connection, None, 30)) as publisher:
        longest = {"delivery_timeout_ms": 120_000, "max_block_ms": 30_000}
        read_back(publisher._producer(), {**PRODUCER, **longest, "request_timeout_ms": 30_000})


LIBRDKAFKA = {
    "debug": "conf",
    "default_topic_conf": "set",
    "error_cb": "set",
    "log.queue": "true",
    "log_cb": "set",
    "opaque": "set",
    "security.protocol": "plaintext",
    "topic.metadata.refresh.interval.ms": "5000",
}
"""What each client of librdkafka is given."""
LIBRDKAFKA_CONSUMER = LIBRDKAFKA | {
    "allow.auto.create.topics": "false",
    "auto.offset.reset": "error",
    "check.crcs": "true",
    "enable.auto.commit": "false",
    "enable.auto.offset.store": "false",
    "enable.partition.eof": "true",
    "fetch.max.bytes": str(4 * 1024 * 1024),
    "fetch.queue.backoff.ms": "20",
    "fetch.wait.max.ms": "100",
    "group.id": "group",
    "heartbeat.interval.ms": "1000",
    "isolation.level": "read_committed",
    "offset_commit_cb": "set",
    "partition.assignment.strategy": "cooperative-sticky",
    "queued.max.messages.kbytes": str(4 * 1024),
    "rebalance_cb": "set",
    "receive.message.max.bytes": "100000000",
    "session.timeout.ms": "10000",
}
LIBRDKAFKA_PRODUCER = LIBRDKAFKA | {
    "batch.num.messages": "100000",
    "batch.size": "4711",
    "dr_msg_cb": "set",
    "enable.idempotence": "true",
    "message.max.bytes": str(8 * 1024 * 1024),
    "message.timeout.ms": "0",
    "partitioner": "murmur2_random",
    "queue.buffering.max.kbytes": str(256 * 1024),
    "queue.buffering.max.messages": "1000000",
    "queue.buffering.max.ms": "10",
    "request.required.acks": "-1",  # all
}


@pytest.fixture
def talkative(kafka: KafkaAddress, caplog: pytest.LogCaptureFixture) -> ConfluentConnection:
    """Clients of librdkafka that log their options."""
    caplog.set_level(logging.DEBUG, "voltpay.kafka.librdkafka")
    return ConfluentConnection.parse(kafka.url, {"debug": "conf"})


def logged_options(caplog: pytest.LogCaptureFixture) -> dict[str, str]:
    """The options that a client has logged: those that it was given, addresses as "set"."""
    lines = (re.search(r"CONF .*\]: +(\S+) = (.*)", each.getMessage()) for each in caplog.records)
    options = {line[1]: "set" if line[2].startswith("0x") else line[2] for line in lines if line}
    del options["metadata.broker.list"]
    return {name: it for name, it in options.items() if not name.startswith("client.software")}


def test_the_options_of_a_consumer_of_librdkafka(
    talkative: ConfluentConnection, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A consumer of payments has the options that the guarantees rest on, and no other."""
    with closing(ConfluentSource(talkative, topic, "group")) as source:
        source.count_partitions()
        caplog.clear()  # what the client for topics has logged
        source.poll(0)
        assert logged_options(caplog) == LIBRDKAFKA_CONSUMER


def test_the_options_of_a_producer_of_librdkafka(
    talkative: ConfluentConnection, caplog: pytest.LogCaptureFixture
) -> None:
    """A producer of events has the options that the guarantees rest on, and no other."""
    with closing(_Session(talkative, None, 1)._producer(4711)) as producer:
        producer.poll(1)
        assert logged_options(caplog) == LIBRDKAFKA_PRODUCER


def test_an_aborted_record_is_never_read(connection: KafkaConnection, topic: str) -> None:
    """`isolation_level`: of a transaction that is aborted nothing is read."""
    with closing(KafkaProducer(bootstrap_servers=connection.servers, transactional_id=topic)) as to:
        to.init_transactions()
        for value, end in ((b"1", to.commit_transaction), (b"2", to.abort_transaction)) * 2:
            to.begin_transaction()
            to.send(topic, value, b"1", partition=0)
            to.flush()
            end()
    read: list[bytes | None] = []
    with closing(KafkaSource(connection, topic, f"group-{topic}")) as source:

        def drained() -> bool:
            polled = source.poll(10)
            source.seek_to_committed(polled.assigned)
            read.extend(record.value for record in polled.records)
            source.acknowledge(polled.positions)
            return source.drained()

        eventually(drained)
    assert read == [b"1", b"1"]


def test_no_topic_is_made_by_asking_for_it(connection: KafkaConnection) -> None:
    """`allow_auto_create_topics`: a topic with a wrong name stays missing."""
    name = f"read-back-{secrets.token_hex(4)}"
    with closing(KafkaPublisher(connection, None, 1)) as publisher, pytest.raises(Unavailable):
        publisher.publish([ProducerRecord(name, b"1", b"event")]).wait()
    with closing(KafkaSource(connection, name, "group")) as source, pytest.raises(Unavailable):
        source.poll(1)
    with closing(connection.admin()) as admin:
        assert name not in admin.list_topics()
