"""What each setting changes of all that is made from the settings, and that it changes no more."""

from __future__ import annotations

import logging
import sqlite3
import ssl
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from functools import cache
from pathlib import Path
from threading import Event
from typing import Any

import attrs
import pytest
from attrs import evolve, frozen
from tests.harness.cli import voltpay
from trustme import CA

from voltpay_adapters.local import SqliteDatabase
from voltpay_adapters.postgres.urls import Host
from voltpay_adapters.retrying import backoff
from voltpay_adapters.testing import MemoryLog, MemoryPublisher, MemorySource
from voltpay_cli import database
from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.monitoring import monitored
from voltpay_cli.settings import OPTIONS, Settings, Url
from voltpay_cli.settings.loading import load
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.payments import Status

BASE = {
    "source": "kafka://broker:9092",
    "store": "postgresql://writer@127.0.0.1:1/payments",
    "kafka.username": "user",
    "database.migrator": "postgresql://migrator@127.0.0.1:1/payments",
}
CLIENTS = {
    "source.connection": "source",
    "events.connection": "events",
    "warm-ups.connection": "source",
    "replays.connection": "events",
    "topics.source": "source",
    "topics.events": "events",
}
"""Everything that connects to Kafka, and the URL that says where."""
PLAIN = (str, int, float, tuple, range, frozenset, type(None))
SSL: dict[str, object] = {"kafka.protocol": "SSL"}
SASL: dict[str, object] = {"kafka.protocol": "SASL_PLAINTEXT"}
KNOWN = {**SASL, "kafka.password": "known"}
UNCHECKED, CHECKED, OWN = "nobody is checked", "certificate and name", "by an authority of its own"


@frozen
class Change:
    """A setting with another value.

    Attributes:
        becomes: Everything that differs then, by its name in the picture.
        given: Other settings, without which this one has no meaning.
    """

    value: object
    becomes: Mapping[str, object]
    given: Mapping[str, object] = {}


def clients(name: str, value: object, *urls: str) -> dict[str, object]:
    """The same in each client of Kafka that these URLs lead to, or all do."""
    return {
        f"{client}.{name}": value
        for client, url in CLIENTS.items()
        if url in (urls or ("source", "events"))
    }


def option(name: str, value: object) -> dict[str, object]:
    return clients(f"options.{name}", value)


def encrypted(mode: str, how: str) -> dict[str, object]:
    return {"liquibase.sslmode": mode, "store.tls": how}


CHANGES: dict[str, tuple[Change, ...]] = {
    "source": (
        Change("kafka://k:1,[::1]:2", clients("servers", ("k:1", "[::1]:2"))),
        Change("kafka://k:1", clients("servers", ("k:1",), "source"), {"events": "kafka://e:1"}),
    ),
    "store": (
        Change(
            "postgresql://u:p%20w@127.0.0.1:7/d?target_session_attrs=any",
            {
                "store.target.hosts": (Host("127.0.0.1", 7),),
                "store.target.database": "d",
                "store.target.user": "u",
                "store.target.password": "p w",
                "store.target.session_attrs": "any",
                "bootstrap": "u@127.0.0.1:7/d",
            },
        ),
        Change(
            "postgresql://u@127.0.0.1:2/d",
            {
                "store.target.hosts": (Host("127.0.0.1", 2),),
                "store.target.database": "d",
                "store.target.user": "u",
                "liquibase.target.hosts": (Host("127.0.0.1", 2),),
                "liquibase.target.database": "d",
                "liquibase.target.user": "u",
                "bootstrap": "u@127.0.0.1:2/d",
                "maintain": "u@127.0.0.1:2/d",
            },
            {"database.migrator": None, "database.superuser": None},
        ),
    ),
    "events": (Change("kafka://e:1", clients("servers", ("e:1",), "events")),),
    "node_id": (
        Change("0", {"store.node_ids": (0,), "sqlite.node_ids": (0,)}),
        Change("999", {"store.node_ids": (999,), "sqlite.node_ids": (999,)}),
    ),
    "group": (Change("g", {"source.group": "g", "replays.group": "g-replay-bad-json"}),),
    "batch_size": (Change("7", {"local.batch_size": 7}),),
    "commit_unit": (
        Change("account", {"local.commit_unit": 1}),
        Change("7", {"local.commit_unit": 7}),
    ),
    "listen": (Change("0", {"listening": "127.0.0.1"}),),
    "log_level": (
        Change("debug", {"log level": "DEBUG"}),
        Change("error", {"log level": "ERROR"}),
    ),
    "log_format": (Change("json", {"log format": "JsonFormatter"}),),
    "topics.writer": (
        Change(
            "w",
            {
                "source.topic": "w",
                "topics.policy.names.writer": "w",
                "local.codec.topics.writer": "w",
                "warm-ups sent": ("w",) * 3,
            },
        ),
    ),
    "topics.read": (
        Change("r", {"topics.policy.names.read": "r", "local.codec.topics.read": "r"}),
    ),
    "topics.email": (
        Change("e", {"topics.policy.names.email": "e", "local.codec.topics.email": "e"}),
    ),
    "topics.dead_letter": (
        Change(
            "d",
            {
                "replays.topic": "d",
                "topics.policy.names.dead_letter": "d",
                "local.codec.topics.dead_letter": "d",
            },
        ),
    ),
    "topics.partitions": (Change("7", {"topics.policy.partitions": 7}),),
    "topics.replication": (Change("3", {"topics.policy.replication": 3}),),
    "topics.retention_hours": (Change("7", {"topics.policy.retention_hours": 7}),),
    "topics.dead_letter_retention_hours": (
        Change("7", {"topics.policy.dead_letter_retention_hours": 7}),
    ),
    "wire.account_field": (Change("custId", {"local.codec.account_field": "custId"}),),
    "wire.event_headers": (
        Change("a=1,b=ü", {"local.codec.event_headers": (("a", b"1"), ("b", "ü".encode()))}),
    ),
    "email.statuses": (
        Change("FAIL,0", {"local.codec.email_statuses": {Status.FAIL, Status.PENDING}}),
    ),
    "limits.retry_seconds": (Change("7", {"local.retry.seconds": 7}),),
    "limits.breaker": (Change("7", {"local.breaker.limit": 7}),),
    "limits.batch_bytes": (
        Change("2048", {"source.batch_bytes": 2048, "local.source.longest": 2048}),
    ),
    "limits.value_bytes": (
        Change("7", {"local.codec.max_value_bytes": 7, "topics.policy.value_bytes": 7}),
    ),
    "limits.publish_seconds": (Change("7", {"events.ack_timeout": 7, "warm-ups.ack_timeout": 7}),),
    "limits.claims_days": (Change("3", {"purged": "would delete 7 claims\n"}),),
    "limits.clock_skew_seconds": (Change("7", {"store.clock_skew": 7}),),
    "limits.warm_ups": (Change("1", {"warm-ups sent": ("payment_writer_topic",)}),),
    "kafka.client": (
        Change(
            "confluent",
            {
                **option("security_protocol", None),
                **option("security.protocol", "PLAINTEXT"),
                **clients("access.security_protocol", "PLAINTEXT"),
                "events.lanes": 8,
                "warm-ups.lanes": 8,
            },
        ),
    ),
    "kafka.protocol": (
        Change("SSL", {**option("security_protocol", "SSL"), **option("ssl_context", CHECKED)}),
    ),
    "kafka.sasl_mechanism": (Change("PLAIN", option("sasl_mechanism", "PLAIN"), KNOWN),),
    "kafka.username": (Change("me", option("sasl_plain_username", "me"), KNOWN),),
    "kafka.password": (Change("secret", option("sasl_plain_password", "secret"), KNOWN),),
    "kafka.password_file": (
        Change(
            "secret.txt",
            option("sasl_plain_password", "in a file"),
            {**SASL, "kafka.password_file": "other.txt"},
        ),
    ),
    "kafka.cafile": (
        Change("ca.crt", {**option("ssl_cafile", "ca.crt"), **option("ssl_context", OWN)}, SSL),
    ),
    "kafka.certfile": (
        Change("me.crt", option("ssl_certfile", "me.crt"), {**SSL, "kafka.keyfile": "me.key"}),
    ),
    "kafka.keyfile": (
        Change("me.key", option("ssl_keyfile", "me.key"), {**SSL, "kafka.certfile": "both.crt"}),
    ),
    "kafka.options": (
        Change(
            ["client.id=me", "linger_ms=5"], {**option("client_id", "me"), **option("linger_ms", 5)}
        ),
    ),
    "database.password": (Change("secret", {"store.target.password": "secret"}),),
    "database.password_file": (Change("secret.txt", {"store.target.password": "in a file"}),),
    "database.migrator": (
        Change(
            "postgresql://m@127.0.0.1:2/d",
            {
                "liquibase.target.hosts": (Host("127.0.0.1", 2),),
                "liquibase.target.database": "d",
                "liquibase.target.user": "m",
                "maintain": "m@127.0.0.1:2/d",
            },
        ),
    ),
    "database.migrator_password": (Change("secret", {"liquibase.target.password": "secret"}),),
    "database.migrator_password_file": (
        Change("secret.txt", {"liquibase.target.password": "in a file"}),
    ),
    "database.superuser": (
        Change("postgresql://s@127.0.0.1:2/d", {"bootstrap": "s@127.0.0.1:2/d"}),
    ),
    "database.lock_seconds": (Change("7", {"store.timeouts.lock": 7, "sqlite.busy_timeout": 7}),),
    "database.statement_seconds": (Change("7", {"store.timeouts.statement": 7}),),
    "database.idle_seconds": (Change("7", {"store.timeouts.idle": 7}),),
    "database.sslmode": (
        Change("require", encrypted("require", UNCHECKED)),
        Change("verify-full", encrypted("verify-full", CHECKED)),
    ),
    "database.sslrootcert": (
        Change(
            "ca.crt",
            {"liquibase.sslrootcert": "ca.crt", "store.tls": OWN},
            {"database.sslmode": "verify-full"},
        ),
    ),
    "database.liquibase": (Change("/opt/liquibase", {"liquibase.program": "/opt/liquibase"}),),
    "database.liquibase_classpath": (Change("jars", {"liquibase.classpath": "jars"}),),
}
"""For each setting what differs once it has this value."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, authority = tmp_path_factory.mktemp("certificates"), CA()
    authority.cert_pem.write_to_path(folder / "ca.crt")
    issued = authority.issue_cert("localhost")
    issued.private_key_pem.write_to_path(folder / "me.key")
    for part in issued.cert_chain_pems:
        part.write_to_path(folder / "me.crt", append=True)
    return folder


@pytest.fixture(autouse=True)
def files(folder: Path, certificates: Path) -> None:
    """A working directory with an empty input, claims of each age, secrets and certificates."""
    for name in ("ca.crt", "me.crt", "me.key"):
        Path(name).write_bytes((certificates / name).read_bytes())
    Path("both.crt").write_bytes(Path("me.crt").read_bytes() + Path("me.key").read_bytes())
    Path("secret.txt").write_text("in a file\n")
    Path("other.txt").write_text("in another file\n")
    Path("in.jsonl").touch()
    with closing(SqliteDatabase("claims.db")) as database, database.begin() as work:
        work.idempotency.claim([f"{days}.5" for days in range(10)])
    with closing(sqlite3.connect("claims.db")) as connection, connection:
        connection.execute(
            "UPDATE idempotency"
            " SET date = strftime('%Y-%m-%d %H:%M:%f', 'now', '-' || message_id || ' days')"
        )


@cache
def before_it(given: Iterable[tuple[str, object]]) -> dict[str, object]:
    return picture(settings_of(dict(given)))


def settings_of(values: Mapping[str, object]) -> Settings:
    """The settings, as flags give them."""
    return load({**BASE, **values}).settings


def picture(settings: Settings) -> dict[str, object]:
    """All that is made from the settings, as names and values."""
    source, store, events = settings.required("source", "store", "events")
    node_id = settings.node_id
    node_ids = (node_id,) if isinstance(node_id, int) else NODE_IDS
    claims, sent, wiring = SqliteDatabase("claims.db"), MemoryPublisher(), Wiring(settings=settings)
    reader = wiring._source(source, claims.begin, skip_expired=False)
    local = evolve(
        settings,
        source=Url("file:in.jsonl"),
        events=Url("file:out"),
        store=Url("sqlite:voltpay.db"),
    )
    with (
        closing(wiring.dead_letters().source("bad-json")) as replays,
        wiring.input_publisher() as warm_ups,
        Wiring(settings=local).payment_consumer(Event(), lambda _: None) as consumer,
    ):
        wiring._warm_up(sent)
        listening = listens(wiring)
        log_to_stderr(settings.log_level, settings.log_format)
        formatter = logging.getLogger().handlers[0].formatter
        log_to_stderr(settings.log_level)
        made = {
            "store": wiring._store(store, node_ids),
            "source": reader,
            "events": wiring._publisher(events, reader),
            "warm-ups": warm_ups,
            "warm-ups sent": tuple(event.topic for event in sent.events),
            "replays": replays,
            "topics": wiring.topics(),
            "liquibase": database.liquibase(wiring),
            "bootstrap": unreachable(lambda: database.bootstrap(wiring)),
            "maintain": unreachable(lambda: database.maintain(wiring)),
            "sqlite": wiring._store(Url("sqlite:voltpay.db"), node_ids),
            "local": consumer,
            "listening": listening,
            "log level": logging.getLevelName(logging.getLogger("voltpay").level),
            "log format": type(formatter).__name__,
            "purged": purged(settings.limits.claims_days),
        }
    return dict(named for name, thing in made.items() for named in flattened(name, thing))


def listens(wiring: Wiring) -> str | None:
    """The host at which a writer tells that its metrics are."""
    log, lines = logging.getLogger("voltpay"), list[str]()
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    log.addHandler(handler)
    log.setLevel("INFO")
    with monitored(wiring):
        log.removeHandler(handler)
    return lines[0].removeprefix("metrics are at http://").partition(":")[0] if lines else None


def unreachable(step: Callable[[], object]) -> str:
    """The database that a step tries to reach."""
    with pytest.raises(Unavailable) as caught:
        step()
    return str(caught.value).removeprefix("PostgreSQL at ").partition(" cannot be reached")[0]


@cache
def purged(days: int) -> str:
    """What `idempotency purge` says of ten claims, one of each age in days."""
    flags = ("--dry-run", "--force", "--store", "sqlite:claims.db")
    env = {"VOLTPAY_LIMITS_CLAIMS_DAYS": str(days)}
    return voltpay("idempotency", "purge", *flags, env=env).stdout


def flattened(name: str, thing: Any) -> Iterator[tuple[str, object]]:
    """What a thing was made with, down to plain values."""
    if attrs.has(type(thing)):
        for attribute in attrs.fields(type(thing)):
            if attribute.init:
                value = getattr(thing, attribute.name)
                yield from flattened(f"{name}.{attribute.name.lstrip('_')}", value)
    elif isinstance(thing, Mapping):
        for key, value in thing.items():
            yield from flattened(f"{name}.{key}", value)
    elif isinstance(thing, ssl.SSLContext):
        if thing.check_hostname and thing.verify_mode is ssl.CERT_REQUIRED:
            yield name, OWN if len(thing.get_ca_certs()) == 1 else CHECKED
        else:
            yield name, UNCHECKED
    elif isinstance(thing, PLAIN):
        yield name, thing


@pytest.mark.parametrize(
    ("path", "change"), [(path, change) for path, changes in CHANGES.items() for change in changes]
)
def test_a_setting_changes_what_it_says_and_no_more(path: str, change: Change) -> None:
    """Of all that is made from the settings, the row's parts become what it says, and no other."""
    before = before_it(tuple(change.given.items()))
    after = picture(settings_of({**change.given, path: change.value}))
    assert {
        name: after.get(name) for name in {*before, *after} if before.get(name) != after.get(name)
    } == change.becomes


@pytest.mark.parametrize(
    ("given", "overlap"),
    [
        ({}, 0),
        ({"kafka.client": "confluent"}, 1),
        ({"kafka.client": "confluent", "events": "file:out"}, 0),
    ],
)
def test_batches_overlap_where_events_are_sent_at_once(
    given: dict[str, object], overlap: int
) -> None:
    """Only librdkafka sends events that nobody waits for yet, so only its batches overlap."""
    wiring = Wiring(settings=settings_of(given))
    store, publisher = SqliteDatabase("voltpay.db"), MemoryPublisher()
    source = MemorySource(MemoryLog())
    ports = (source, store, publisher)
    with wiring.assemble(*ports, backoff(1, Event()), lambda _: None) as consumer:
        assert consumer._overlap == overlap


def test_every_setting_is_in_the_table() -> None:
    """A new setting needs a row that says what it changes."""
    assert set(CHANGES) == {option.path for option in OPTIONS}
