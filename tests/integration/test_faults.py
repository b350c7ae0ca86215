"""Whatever breaks, nothing is lost, doubled or reordered: real processes, brokers and databases.

Each row of a table is a fault; the checker looks at everything in the end. SEED= makes the same
payments again.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from tests.integration.databases import bootstrapped
from tests.integration.processes import Program, Site
from tests.integration.proxy import Proxy
from tests.stack.kafka import KafkaCluster
from tests.stack.postgres import PostgresServer, StopMode

RECORDS = 3000
SOON = {
    "kafka.options.session_timeout_ms": "2000",
    "kafka.options.heartbeat_interval_ms": "300",
    "kafka.options.reconnect_backoff_max_ms": "1000",
}
IMPATIENT = {"database__lock_seconds": 1, "database__statement_seconds": 1}


@pytest.fixture(scope="session")
def brokers() -> Iterator[KafkaCluster]:
    """A cluster that gives up members after a second of silence already."""
    with KafkaCluster({"group.min.session.timeout.ms": "1000"}) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def template(postgres_server: PostgresServer) -> Iterator[str]:
    """The name of a database with the newest schema and no rows, on the server that breaks."""
    with bootstrapped(postgres_server) as database:
        assert database.liquibase.update() == 0
        yield database.name


@pytest.fixture
def site(
    brokers: KafkaCluster, postgres_server: PostgresServer, template: str, tmp_path: Path
) -> Iterator[Site]:
    with (
        bootstrapped(postgres_server, template) as database,
        closing(Site(brokers, database, tmp_path, settings=SOON)) as site,
    ):
        site.prepare()
        yield site


def busy(site: Site, *flags: str, **settings: object) -> Program:
    """A consumer in the middle of its work, which ends once that is done."""
    site.feed(RECORDS)
    consumer = site.consume(1, "--exit-eof", *flags, **settings)
    consumer.wait_for(lambda: site.written_by(1) >= 3 * site.batch_size, seconds=60)
    assert site.written_by(1) < RECORDS * 0.7
    return consumer


# --- the process dies -------------------------------------------------------------------------

WORKED = "3 after acknowledge"
KILLS = {
    "after the poll": f"{WORKED}, before begin",
    "inside the transaction": f"{WORKED}, after outbox.put",
    "after the commit, before the publish": f"{WORKED}, after outbox.put, after commit",
    "after some acknowledgements": f"{WORKED}, halfway publish",
    "after all, before the offset commit": f"{WORKED}, before acknowledge",
    "after the offset commit, before the outbox delete": WORKED,
}


@pytest.mark.parametrize("way", KILLS.values(), ids=KILLS)
def test_killed(site: Site, way: str) -> None:
    """A process that dies at any point is replaced, and repeats a batch of events at most."""
    site.feed(RECORDS)
    assert site.consume(1, failing=f"{way} = kill").exit_code() == -signal.SIGKILL
    site.drain()
    assert site.violations(kills=1) == []


TAKE_OVERS = {
    "before it raises the fence": "before fence.raise_epochs",
    "after it raised the fence": "after fence.raise_epochs, after commit",
    "halfway through what waited": "halfway publish",
    "after it published what waited": "after wait",
    "after it found the offsets": "after rewind",
}


@pytest.mark.parametrize("way", TAKE_OVERS.values(), ids=TAKE_OVERS)
def test_killed_during_the_take_over(site: Site, way: str) -> None:
    """The successor of a dead process may die of the same, wherever it is with its take-over."""
    site.feed(RECORDS)
    first = site.consume(1, failing=f"{WORKED}, after outbox.put, after commit = kill")
    assert first.exit_code() == -signal.SIGKILL
    assert site.consume(2, failing=f"{way} = kill").exit_code() == -signal.SIGKILL
    site.drain()
    assert site.violations(kills=2) == []


# --- the database goes away and comes back ----------------------------------------------------


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_the_database_restarts(site: Site, postgres_server: PostgresServer, mode: StopMode) -> None:
    """The writer waits for its database, and goes on where the claims say it was."""
    consumer = busy(site)
    postgres_server.restart(mode)
    assert consumer.exit_code() == 0
    assert site.violations(kills=1) == []


def test_the_backend_is_terminated(site: Site) -> None:
    """Who loses its connection takes another, and the node id with it."""
    consumer = busy(site)
    site.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'voltpay_writer'"
        " AND datname = current_database()"
    )
    assert consumer.exit_code() == 0
    assert site.violations(kills=1) == []


@contextmanager
def behind(site: Site, server: PostgresServer) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the database, and the writer's URL through it."""
    with Proxy((server.host, server.port)) as proxy:
        yield proxy, site.database.writer.replace(f":{server.port}/", f":{proxy.port}/")


def cut(proxy: Proxy) -> None:
    proxy.cut()


def never_reply(proxy: Proxy) -> None:
    proxy.swallow = once(lambda said: True)


def swallow_commit(proxy: Proxy) -> None:
    proxy.swallow = once(lambda said: b"COMMIT\x00" in said)


def cut_at_commit(proxy: Proxy) -> None:
    proxy.cut_after = True
    swallow_commit(proxy)


def once(holds: Callable[[bytes], bool]) -> Callable[[bytes], bool]:
    """Whether it holds, but never twice."""
    left = [True]
    return lambda said: bool(left and holds(said) and left.pop())


WIRES = {
    "cut": cut,
    "the reply never comes": never_reply,
    "the answer to COMMIT is swallowed": swallow_commit,
    "the connection ends instead of the answer to COMMIT": cut_at_commit,
}


@pytest.mark.parametrize("strike", WIRES.values(), ids=WIRES)
def test_the_connection_breaks(
    site: Site, postgres_server: PostgresServer, strike: Callable[[Proxy], None]
) -> None:
    """Nothing hangs longer than the client's time-out, and what is in doubt the claims decide."""
    with behind(site, postgres_server) as (proxy, url):
        consumer = busy(site, store=url, **IMPATIENT)
        strike(proxy)
        assert consumer.exit_code(seconds=60) == 0
    assert "cannot be reached" in consumer.printed()
    assert site.violations(kills=1) == []
