"""Several hosts in a database's URL: which of them is used, by every command."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from tests.harness.cli import voltpay
from tests.harness.databases import Database, bootstrapped
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresServer, PostgresStandby
from tests.harness.stack.processes import free_ports

from voltpay_adapters.postgres import hosts as hosts_module
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.hosts import connect
from voltpay_adapters.postgres.urls import DatabaseUrl, Host
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec
from voltpay_core.errors import Unavailable


@pytest.fixture(scope="module")
def database(postgres_server: PostgresServer) -> Iterator[Database]:
    with bootstrapped(postgres_server) as database:
        yield database


@pytest.fixture(scope="module")
def standby(postgres_server: PostgresServer, database: Database) -> Iterator[PostgresStandby]:
    with PostgresStandby(postgres_server) as standby:
        yield standby


@pytest.fixture
def target(database: Database) -> DatabaseUrl:
    return DatabaseUrl.parse(database.writer)


def behind(url: str, *first: int) -> str:
    """The same database behind further hosts, which are tried first."""
    login, _, place = url.rpartition("@")
    return f"{login}@{','.join(f'127.0.0.1:{port}' for port in first)},{place}"


def place(target: DatabaseUrl) -> str:
    """Where a connection leads."""
    with closing(connect(target, 60, None)) as connection:
        return connection.label


def refusal(target: DatabaseUrl) -> Unavailable:
    with pytest.raises(Unavailable) as caught:
        place(target)
    return caught.value


def test_every_command_passes_a_standby_over(
    database: Database, standby: PostgresStandby, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a dead host and a standby before the primary, all commands work on the primary."""
    first = (*free_ports(1), standby.port)
    settings = {
        "SOURCE": "file:in.jsonl",
        "EVENTS": "file:out",
        "STORE": behind(database.writer, *first),
        "DATABASE_MIGRATOR": behind(database.migrator, *first),
        "DATABASE_SUPERUSER": behind(database.superuser, *first),
        "DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"VOLTPAY_{name}", value)
    monkeypatch.chdir(tmp_path)
    lines = [record.value or b"" for record in samples(Codec(), 20, 1, Mix())]
    Path("in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    for command in ("db bootstrap", "db update", "db maintain", "check", "consume"):
        result = voltpay(*command.split())
        assert result.exit_code == 0, result.output
    assert "written 20" in result.stdout
    assert voltpay("idempotency", "purge").exit_code == 0


def test_a_standby_alone_is_an_outage(target: DatabaseUrl, standby: PostgresStandby) -> None:
    """A server that cannot be written to may be promoted: it is named, and asked again."""
    alone = target.at(Host("127.0.0.1", standby.port))
    error = refusal(alone)
    assert str(error) == f"PostgreSQL at {alone.label} is a standby"
    assert not error.halt
    assert place(evolve(alone, session_attrs="any")) == alone.label


def test_every_host_is_reported(
    target: DatabaseUrl, standby: PostgresStandby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no host will do the message says of each what was wrong, within seconds a host."""
    monkeypatch.setattr(hosts_module, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        ports = (*free_ports(1), mute.getsockname()[1], standby.port)
        hosts = (*(Host("127.0.0.1", port) for port in ports), Host("nowhere.invalid"))
        error = refusal(evolve(target, hosts=hosts))
    refused, overdue, read_only, unknown = str(error).split("; ")
    assert refused.endswith("Connection refused")
    assert overdue.endswith("timed out")
    assert read_only.endswith("is a standby")
    assert "cannot be reached" in unknown
    told = (refused, overdue, read_only, unknown)
    assert all(target.at(host).label in words for host, words in zip(hosts, told, strict=True))
    assert not error.halt


def test_all_addresses_of_a_name_are_tried(
    target: DatabaseUrl, standby: PostgresStandby, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name of several servers leads to the one that can be written to."""
    ports = (*free_ports(1), standby.port, target.hosts[0].port)
    kind = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "")

    def resolve(*name: Any, **hints: Any) -> list[Any]:
        return [(*kind, ("127.0.0.1", port)) for port in ports]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    named = target.at(Host("several.example"))
    assert place(named) == named.label


def test_a_rejected_login_ends_the_search(target: DatabaseUrl) -> None:
    """A wrong password is reported at once: the next host would hide the mistake."""
    error = refusal(evolve(target, hosts=target.hosts * 2, password="wrong"))
    assert error.halt
    assert "SQLSTATE 28P01" in str(error)
    assert ";" not in str(error)


@contextmanager
def read_only_by_default(server: PostgresServer) -> Iterator[None]:
    """A server that its administrator has fenced, for sessions that are open, too."""
    configure(server, "SET default_transaction_read_only TO on")
    try:
        yield
    finally:
        configure(server, "RESET default_transaction_read_only")


def configure(server: PostgresServer, what: str) -> None:
    server.run_sql(f"SET default_transaction_read_only TO off; ALTER SYSTEM {what}")
    server.run_sql("SELECT pg_reload_conf()")


def test_read_write_heeds_the_servers_default(
    target: DatabaseUrl, postgres_server: PostgresServer
) -> None:
    """Only who asks for read-write sessions passes over a server that is read-only by default."""
    with read_only_by_default(postgres_server):
        error = refusal(evolve(target, session_attrs="read-write"))
        assert "default_transaction_read_only is on" in str(error)
        assert not error.halt
        assert place(target) == target.label
    assert place(evolve(target, session_attrs="read-write")) == target.label


def test_liquibase_is_led_to_the_same_host(
    database: Database, standby: PostgresStandby, postgres_server: PostgresServer
) -> None:
    """Liquibase gets no other host than a session of our own would use."""
    both = behind(database.migrator, standby.port)
    liquibase = evolve(database.liquibase, target=DatabaseUrl.parse(both))
    assert liquibase.status() == 0
    fenced = evolve(liquibase, target=evolve(liquibase.target, session_attrs="read-write"))
    with (
        read_only_by_default(postgres_server),
        pytest.raises(Unavailable, match=r"is a standby; .* default_transaction_read_only is on"),
    ):
        fenced.status()


def test_a_session_that_can_no_longer_write_is_left(
    target: DatabaseUrl, postgres_server: PostgresServer, database: Database
) -> None:
    """A session that becomes read-only is not kept, where a new one could write."""
    with closing(PostgresDatabase(evolve(target, session_attrs="read-write"))) as store:
        before, _ = store.connect()
        postgres_server.run_sql(
            f'ALTER ROLE voltpay_writer IN DATABASE "{database.name}"'
            " SET default_transaction_read_only TO off"
        )
        with read_only_by_default(postgres_server):
            with pytest.raises(Unavailable, match="25006") as caught, store.begin() as work:
                work.fence.bump_epochs([])
            assert not caught.value.halt
            with store.begin() as work:
                work.fence.bump_epochs([])
        after, _ = store.connect()
        assert after is not before
