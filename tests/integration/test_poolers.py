"""PgBouncer before PostgreSQL: in session mode everything works, in other modes nothing begins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from tests.harness.cli import voltpay
from tests.harness.databases import MIGRATOR_PASSWORD, WRITER_PASSWORD, Database, connected
from tests.harness.stack.available import available
from tests.harness.stack.pgbouncer import PgBouncer
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresAddress
from typer.testing import Result

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.bootstrap import MIGRATOR, WRITER
from voltpay_adapters.postgres.poolers import is_pooled
from voltpay_adapters.postgres.session import Session
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

PASSWORDS = {MIGRATOR: MIGRATOR_PASSWORD, WRITER: WRITER_PASSWORD}
SHARING = ("transaction", "statement")

Pool = Callable[..., PgBouncer]


@pytest.fixture
def pool(postgres: PostgresAddress) -> Iterator[Pool]:
    """Starts poolers before the server."""
    with ExitStack() as running:

        def start(mode: str, **settings: str | int) -> PgBouncer:
            return running.enter_context(
                available(lambda: PgBouncer(postgres, PASSWORDS, mode, **settings))
            )

        yield start


@pytest.fixture
def program(migrated_database: Database, tmp_path: Path) -> Callable[..., Result]:
    """Runs a command by way of a pooler, on files in place of Kafka."""

    def run(pooler: PgBouncer, *command: str) -> Result:
        name = migrated_database.name
        settings = {
            "SOURCE": f"file:{tmp_path / 'in.jsonl'}",
            "EVENTS": f"file:{tmp_path / 'out'}",
            "STORE": pooler.url(WRITER, name),
            "DATABASE_MIGRATOR": pooler.url(MIGRATOR, name),
            "DATABASE_SUPERUSER": pooler.superuser_url(name),
            "DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
            "LIMITS_RETRY_SECONDS": "0",
        }
        return voltpay(*command, env={f"VOLTPAY_{key}": value for key, value in settings.items()})

    assert voltpay("produce", "--source", f"file:{tmp_path / 'in.jsonl'}").exit_code == 0
    return run


def writer_at(pooler: PgBouncer, database: Database) -> DatabaseUrl:
    return DatabaseUrl.parse(pooler.url(WRITER, database.name))


def test_a_pool_of_sessions_serves_every_command(
    pool: Pool, program: Callable[..., Result]
) -> None:
    """By a pooler in session mode the commands do what they do without, but Liquibase."""
    pooler = pool("session")
    found = program(pooler, "check")
    assert found.exit_code == 0, found.output
    assert "accepts voltpay_writer through a connection pooler" in found.stdout
    for command in (["db", "bootstrap"], ["db", "maintain"], ["idempotency", "purge"]):
        result = program(pooler, *command)
        assert result.exit_code == 0, result.output
    assert "written 1000" in program(pooler, "consume").stdout
    refused = program(pooler, "db", "status")
    assert refused.exit_code == 78
    assert "let database.migrator name PostgreSQL itself" in refused.stderr


@pytest.mark.parametrize("mode", SHARING)
def test_a_pooler_that_shares_is_rejected_by_every_command(
    mode: str, pool: Pool, program: Callable[..., Result], migrated_database: Database
) -> None:
    """In transaction and statement mode each command ends at once, with the reason and way out."""
    pooler = pool(mode)
    for command in (
        *(["consume"], ["check"], ["idempotency", "purge"]),
        *(["db", "bootstrap"], ["db", "update"], ["db", "maintain"], ["db", "release-locks"]),
    ):
        result = program(pooler, *command)
        assert result.exit_code == 78, result.output
        assert "set pool_mode = session" in result.output
    with connected(migrated_database.superuser) as connection:
        assert connection.run("SELECT count(*) FROM write.payment_core") == [[0]]


@pytest.mark.parametrize("mode", SHARING)
@pytest.mark.parametrize("turns", [0, 1])
def test_a_pool_with_many_connections_is_recognised(
    mode: str, turns: int, pool: Pool, migrated_database: Database
) -> None:
    """Sharing is found out also where idle connections of the pool take turns."""
    pooler = pool(mode, server_round_robin=turns, min_pool_size=2)
    target = writer_at(pooler, migrated_database)
    with ExitStack() as opened:
        others = [
            opened.enter_context(connected(pooler.url(WRITER, migrated_database.name)))
            for _ in range(2)
        ]
        if mode == "transaction":
            for other in others:
                other.run("BEGIN")
            for other in others:
                other.run("ROLLBACK")
        with pytest.raises(Misconfigured, match="pool mode transaction or statement"):
            Session.open(target, Timeouts())


def test_a_pool_of_one_session_is_a_session(pool: Pool, migrated_database: Database) -> None:
    """Where no second session fits in beside the first, the first has its connection alone."""
    target = writer_at(pool("session", default_pool_size=1), migrated_database)
    with closing(Session.open(target, Timeouts())) as opened:
        assert opened.run("SELECT 1") == [[1]]


def test_what_a_former_session_left_is_gone(pool: Pool, migrated_database: Database) -> None:
    """A pooler that resets nothing hands on neither prepared statements nor locks."""
    pooler = pool("session", default_pool_size=1, server_reset_query="")
    target = writer_at(pooler, migrated_database)
    for _ in range(2):
        with closing(Session.open(target, Timeouts())) as opened:
            assert opened.run("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [[0]]
            taken = opened.run("SELECT pg_try_advisory_lock(:first::int, 1)", first=1)
            assert taken == [[True]]


def test_no_pooler_is_seen_where_none_is(migrated_database: Database) -> None:
    """PostgreSQL itself announces the process that serves the session."""
    with admin_connection(DatabaseUrl.parse(migrated_database.writer)) as direct:
        assert not direct.pooled


def test_a_pooler_is_known_by_the_process_it_announces() -> None:
    """Another process than the announced one, or none announced, is a pooler's."""
    assert not is_pooled((4711).to_bytes(4, "big") + b"key!", 4711)
    assert is_pooled((4712).to_bytes(4, "big") + b"key!", 4711)
    assert is_pooled(None, 4711)
