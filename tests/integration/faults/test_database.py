"""The database is away, slow or rejects statements, and recovers by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tests.harness.databases import connected
from tests.harness.deployment import MIX, RECORDS, SEED, Deployment, Program, busy, rows
from tests.harness.proxy import Proxy
from tests.harness.stack.postgres import PostgresServer, StopMode

from voltpay_adapters.testing.samples import samples
from voltpay_core.codec import Codec

IMPATIENT = {"database__lock_seconds": 1, "database__statement_seconds": 2}


@pytest.mark.parametrize("mode", [pytest.param("fast", marks=pytest.mark.faults), "immediate"])
def test_the_database_restarts(
    deployment: Deployment, postgres_server: PostgresServer, mode: StopMode
) -> None:
    """The writer waits for its database, and continues where the claims show that it stopped."""
    consumer = busy(deployment, "--exit-eof")
    postgres_server.restart(mode)
    assert consumer.exit_code() == 0
    assert consumer.printed().count("took over") > 1
    assert keeps_its_group(consumer)
    assert deployment.violations() == []


@pytest.mark.faults
def test_the_backend_is_terminated(deployment: Deployment) -> None:
    """A process that loses its connection opens another one, and leases its node id again."""
    consumer = busy(deployment, "--exit-eof")
    deployment.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'voltpay_writer'"
        " AND datname = current_database()"
    )
    assert consumer.exit_code() == 0
    assert consumer.printed().count("took over") > 1
    assert keeps_its_group(consumer)
    assert deployment.violations() == []


@contextmanager
def behind(deployment: Deployment, server: PostgresServer) -> Iterator[tuple[Proxy, str]]:
    """A proxy before the database, and the writer's URL through it."""
    with Proxy((server.host, server.port)) as proxy:
        yield proxy, deployment.database.writer.replace(f":{server.port}/", f":{proxy.port}/")


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
    "cut": Proxy.cut,
    "stalled": Proxy.stall,
    "the reply never comes": never_reply,
    "the answer to COMMIT never comes": swallow_commit,
    "the connection ends instead of the answer to COMMIT": cut_at_commit,
}


@pytest.mark.parametrize("strike", rows(WIRES))
def test_the_connection_breaks(
    deployment: Deployment, postgres_server: PostgresServer, strike: Callable[[Proxy], None]
) -> None:
    """No call waits longer than the client's timeout, and the claims decide what is in doubt."""
    with behind(deployment, postgres_server) as (proxy, url):
        consumer = busy(deployment, "--exit-eof", store=url, **IMPATIENT)
        strike(proxy)
        consumer.wait_for(lambda: "cannot be reached" in consumer.printed(), seconds=30)
        proxy.go_on()
        assert consumer.exit_code(seconds=60) == 0
    assert consumer.printed().count("took over") > 1
    assert keeps_its_group(consumer)
    assert deployment.violations() == []


def keeps_its_group(consumer: Program) -> bool:
    """Whether it took its partitions over again only because it tried something again."""
    said = consumer.printed()
    return said.count("took over") <= 1 + said.count("; attempt ")


STATEMENT, ROW = "FOR EACH STATEMENT", "FOR EACH ROW"


def interfere(deployment: Deployment, when: str, body: str) -> None:
    """Let a trigger of the payments do that, with the rights of the superuser."""
    deployment.rows(
        f"""
        CREATE SEQUENCE write.times;
        CREATE FUNCTION write.interfere() RETURNS trigger SECURITY DEFINER LANGUAGE plpgsql AS
        $$ BEGIN {body} RETURN NEW; END $$;
        CREATE TRIGGER interfere BEFORE INSERT ON write.payment_core
        {when} EXECUTE FUNCTION write.interfere();
        """
    )


PASSING = {
    "serialization failure": "40001",
    "deadlock": "40P01",
    "lock not available": "55P03",
    "too many connections": "53300",
    "administrator": "57P01",
}


@pytest.mark.parametrize("sqlstate", rows(PASSING))
def test_the_database_asks_for_a_retry(deployment: Deployment, sqlstate: str) -> None:
    """A transient error is retried, and no payment becomes a dead letter."""
    deployment.feed(RECORDS)
    times = "nextval('write.times')"
    interfere(deployment, STATEMENT, f"IF {times} <= 3 THEN RAISE SQLSTATE '{sqlstate}'; END IF;")
    consumer = deployment.consume(1, "--exit-eof")
    assert consumer.exit_code() == 0
    assert deployment.number("SELECT last_value FROM write.times") > 3
    assert keeps_its_group(consumer)
    assert deployment.violations() == []


def test_the_database_is_slow(deployment: Deployment) -> None:
    """Transactions that are longer than the session timeout cause no rebalance."""
    deployment.feed(RECORDS)
    times = "nextval('write.times')"
    interfere(deployment, STATEMENT, f"IF {times} <= 1 THEN PERFORM pg_sleep(8); END IF;")
    consumer = deployment.consume(1, "--exit-eof", "-X", "session_timeout_ms=6000")
    assert consumer.exit_code() == 0
    assert consumer.printed().count("took over") == 1
    assert deployment.violations() == []


@pytest.mark.faults
@pytest.mark.parametrize("waits", [2, 8])
def test_a_table_is_locked(deployment: Deployment, waits: int) -> None:
    """After a lock timeout the transaction is rolled back and retried."""
    consumer = busy(deployment, "--exit-eof", **IMPATIENT)
    with connected(deployment.database.superuser) as connection:
        connection.run("BEGIN")
        connection.run("LOCK TABLE write.payment_notes IN ACCESS EXCLUSIVE MODE")
        consumer.wait_for(lambda: consumer.printed().count("55P03") >= waits, seconds=600)
        connection.run("ROLLBACK")
    assert consumer.exit_code() == 0
    assert keeps_its_group(consumer)
    assert deployment.violations() == []


def test_one_account_is_rejected(deployment: Deployment) -> None:
    """The payments that the database rejects become dead letters, and their neighbours do not."""
    deployment.feed(RECORDS)
    times = Counter(record.key for record in samples(Codec(), RECORDS, SEED, MIX))
    account = next(int(key) for key, count in times.items() if key and 4 < count < 10)
    refused = "RAISE EXCEPTION 'not this account';"
    interfere(deployment, f"{ROW} WHEN (NEW.account_id = {account})", refused)
    deployment.drain()
    assert deployment.letter_codes()["refused-by-database"] > 0
    assert deployment.violations(refused=frozenset({account})) == []
