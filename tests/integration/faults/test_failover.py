"""The primary is lost or demoted, its standby is promoted, and the writer continues there."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from attrs import evolve
from tests.harness.databases import Database
from tests.harness.deployment import RECORDS, Deployment, busy, eventually, rows
from tests.harness.stack.postgres import PostgresServer, PostgresStandby


@pytest.fixture
def standby(deployment: Deployment, postgres_server: PostgresServer) -> Iterator[PostgresStandby]:
    """A standby of the server that breaks, which commits nothing without it."""
    with PostgresStandby(postgres_server) as standby:
        try:
            configure(postgres_server, "SET synchronous_standby_names = '*'")
            eventually(lambda: "sync" in postgres_server.run_sql(REPLICATION))
            yield standby
        finally:
            if postgres_server.running:
                postgres_server.stop("immediate")
            postgres_server.start()
            if postgres_server.run_sql("SELECT pg_is_in_recovery()") == "t":
                postgres_server.promote()
            configure(postgres_server, "RESET ALL")


REPLICATION = "SELECT sync_state FROM pg_stat_replication"


def configure(server: PostgresServer, how: str) -> None:
    server.run_sql(f"ALTER SYSTEM {how}")
    server.run_sql("SELECT pg_reload_conf()")


def lose(primary: PostgresServer, standby: PostgresServer) -> None:
    """The primary crashes, and comes back when somebody has fenced it."""
    primary.stop("immediate")
    standby.promote()
    primary.start(default_transaction_read_only="on")


def switch_over(primary: PostgresServer, standby: PostgresServer) -> None:
    """The two change places in good order."""
    primary.stop("fast")
    standby.promote()
    primary.follow(standby)
    primary.start()


FAILOVERS = {"lost": lose, "switched over": switch_over}


@pytest.mark.parametrize("fail_over", rows(FAILOVERS, "lost"))
def test_the_standby_is_promoted(
    deployment: Deployment,
    postgres_server: PostgresServer,
    standby: PostgresStandby,
    fail_over: Callable[[PostgresServer, PostgresServer], None],
) -> None:
    """The writer continues on the second host: with synchronous replication nothing is lost."""
    at_first, both = (
        deployment.database,
        beside(deployment.database.writer, postgres_server, standby),
    )
    consumer = busy(deployment, "--exit-eof", store=both)
    fail_over(postgres_server, standby)
    assert consumer.exit_code() == 0, consumer.printed()
    assert consumer.printed().count("took over") > 1
    deployment.database = moved(at_first, postgres_server, standby)
    deployment.feed(100, seed=7)
    assert deployment.consume(2, "--exit-eof", store=both).exit_code() == 0
    assert deployment.written_by(2) > 0
    assert deployment.violations() == []


def beside(url: str, primary: PostgresServer, standby: PostgresServer) -> str:
    hosts = f"{primary.host}:{primary.port},{standby.host}:{standby.port}"
    moved = url.replace(f"{primary.host}:{primary.port}", hosts)
    return f"{moved}?target_session_attrs=read-write"


def moved(database: Database, primary: PostgresServer, standby: PostgresServer) -> Database:
    """The same database on the server that was a standby."""

    def there(url: str) -> str:
        return url.replace(f":{primary.port}/", f":{standby.port}/")

    return evolve(
        database,
        superuser=there(database.superuser),
        migrator=there(database.migrator),
        writer=there(database.writer),
    )


@pytest.mark.faults
def test_what_an_asynchronous_standby_lacks_is_written_again(
    deployment: Deployment, postgres_server: PostgresServer, standby: PostgresStandby
) -> None:
    """What was committed without the standby is lost; offsets moved back bring it again."""
    at_first, both = (
        deployment.database,
        beside(deployment.database.writer, postgres_server, standby),
    )
    deployment.feed(RECORDS)
    deployment.drain()
    configure(postgres_server, "RESET synchronous_standby_names")
    standby.stop()
    deployment.feed(100, seed=7)
    deployment.drain()
    whole = payments(deployment)
    postgres_server.stop("immediate")
    standby.start()
    standby.promote()
    deployment.database = moved(at_first, postgres_server, standby)
    assert deployment.consume(1, "--exit-eof", store=both).exit_code() == 0
    assert 0 < payments(deployment) < whole
    deployment.move_offsets_back()
    assert deployment.consume(2, "--exit-eof", store=both).exit_code() == 0
    assert payments(deployment) == whole


def payments(deployment: Deployment) -> int:
    return deployment.number("SELECT count(*) FROM write.payment_core")
