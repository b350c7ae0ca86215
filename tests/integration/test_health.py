"""Each question about a database has its answer when all is well, and each trouble its code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import closing
from datetime import UTC, datetime

import pytest
from tests.harness.databases import Database, connected

from voltpay_adapters.findings import Finding
from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.health import check, read_state
from voltpay_adapters.postgres.inspection import (
    PAYMENT_TABLES,
    held_node_ids,
    partitions,
)
from voltpay_adapters.postgres.maintenance import maintain
from voltpay_adapters.postgres.resources import changeset_ids
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.snapshots import MONTHS_AHEAD
from voltpay_core.errors import Unavailable

NEWEST = "(SELECT max(orderexecuted) FROM write.databasechangelog)"
WELL = {
    "database": r"PostgreSQL \d+\S*.* accepts voltpay_writer",
    "encoding": "UTF8 can hold every text",
    "schema": f"is at {changeset_ids()[-1]}, as required",
    "partitions": "exist for this month and the next",
    "privileges": "voltpay_writer may only write rows",
    "clock": r"\d\.\d s from the database's",
    "outbox": "0 rows wait to be published",
}
TROUBLES = {
    ("schema", "no-schema", "does not exist"): "DELETE FROM write.databasechangelog",
    ("schema", "newer-schema", f"999 is newer than this program's {changeset_ids()[-1]}"): (
        f"UPDATE write.databasechangelog SET id = '999' WHERE orderexecuted = {NEWEST}"
    ),
    ("schema", "older-schema", f"is at {changeset_ids()[-2]}, not {changeset_ids()[-1]}"): (
        f"DELETE FROM write.databasechangelog WHERE orderexecuted = {NEWEST}"
    ),
    ("partitions", "default-partition", ".*: drop payment_notes_rest"): (
        "CREATE TABLE write.payment_notes_rest PARTITION OF write.payment_notes DEFAULT"
    ),
    ("privileges", "missing-privileges", "voltpay_writer lacks DELETE on write.outbox"): (
        "REVOKE DELETE ON write.outbox FROM voltpay_writer"
    ),
    ("privileges", "excess-privileges", r"voltpay_writer .*\(CREATE in schema write\);.*"): (
        "GRANT CREATE ON SCHEMA write TO voltpay_writer"
    ),
    ("outbox", "outbox-waits", "1 rows wait, the oldest for 36\\d\\d s"): (
        "INSERT INTO write.outbox (topic, partition, payload, created_at)"
        " VALUES ('in', 0, '', now() - interval '1 hour')"
    ),
}
"""The question, the code and the words of each trouble, and how it is made."""


@pytest.fixture
def target(migrated_database: Database) -> DatabaseUrl:
    return DatabaseUrl.parse(migrated_database.writer)


def troubled(findings: Iterable[Finding]) -> list[tuple[str, str, str]]:
    """The name, the code and the words of each failure, once all questions are answered."""
    found = list(findings)
    assert [each.name for each in found] == list(WELL)
    return [(each.name, each.failure.code, str(each.failure)) for each in found if each.failure]


def test_all_is_well(target: DatabaseUrl) -> None:
    """Each question is answered, in order, where nothing is wrong."""
    found = list(check(target, clock_skew=5, outbox_age=60))
    assert [each.name for each in found] == list(WELL)
    for each in found:
        assert isinstance(each.answer, str)
        assert re.fullmatch(WELL[each.name], each.answer)


@pytest.mark.parametrize(("question", "code", "words"), TROUBLES)
def test_a_trouble_has_its_code(
    question: str, code: str, words: str, target: DatabaseUrl, migrated_database: Database
) -> None:
    """The question that a trouble concerns fails, with its code and words, and no other does."""
    with connected(migrated_database.superuser) as superuser:
        superuser.run(TROUBLES[question, code, words])
    ((name, found, told),) = troubled(check(target, clock_skew=5, outbox_age=60))
    assert (name, found) == (question, code)
    assert re.fullmatch(words, told)


def test_a_row_may_wait_for_a_while(target: DatabaseUrl, migrated_database: Database) -> None:
    """Neither a row that is younger than allowed is a trouble, nor a clock within its limit."""
    assert troubled(check(target, clock_skew=5, outbox_age=0)) == []
    with connected(migrated_database.superuser) as superuser:
        (sql,) = (sql for trouble, sql in TROUBLES.items() if trouble[0] == "outbox")
        superuser.run(sql)
    assert troubled(check(target, clock_skew=5, outbox_age=4000)) == []
    found = list(check(target, clock_skew=-1, outbox_age=4000))
    ((name, code, words),) = troubled(found)
    assert (name, code) == ("clock", "clock-skew")
    (clock,) = (each for each in found if each.name == name)
    assert isinstance(clock.failure, Unavailable)
    assert clock.failure.halt
    assert re.match(r"\d s from the database's: correct the clock", words)


def test_a_missing_month_is_named_and_made_again(
    target: DatabaseUrl, migrated_database: Database
) -> None:
    """A missing month is a trouble, and maintenance makes the months at the end again."""
    migrator = DatabaseUrl.parse(migrated_database.migrator)
    made = maintain(migrator)
    newest = {part.table: part for part in made}
    assert list(newest) == list(PAYMENT_TABLES)
    now = datetime.now(UTC)
    this = next(part for part in made if part.start and part.end and part.start <= now < part.end)
    with connected(migrated_database.superuser) as superuser:
        for part in newest.values():
            superuser.run(f"DROP TABLE write.{part.name}")
        assert maintain(migrator) == made
        superuser.run(f"DROP TABLE write.{this.name}")
    with admin_connection(target) as connection:
        assert set(made) - set(partitions(connection)) == {this}
    ((name, code, words),) = troubled(check(target, clock_skew=5, outbox_age=60))
    assert (name, code, words) == ("partitions", "no-partition", f"missing: {this}")


def test_a_server_that_is_away_is_the_only_finding() -> None:
    """Without a connection there is one answer: why."""
    away = DatabaseUrl.parse("postgresql://voltpay_writer@127.0.0.1:1/voltpay")
    (found,) = check(away, clock_skew=5, outbox_age=60)
    assert found.name == "database"
    assert isinstance(found.failure, Unavailable)


def test_the_state_is_what_the_tables_hold(
    target: DatabaseUrl, migrated_database: Database
) -> None:
    """Rows, ages in seconds, months ahead and node ids are read; nothing is 0."""
    empty = read_state(target)
    assert (empty.outbox_rows, empty.outbox_oldest, empty.oldest_claim) == (0, 0, 0)
    assert empty.node_ids == ()
    assert set(empty.months_ahead) == set(PAYMENT_TABLES)
    assert min(empty.months_ahead.values()) >= MONTHS_AHEAD
    assert 0 <= empty.clock_difference < 5
    with connected(migrated_database.superuser) as superuser:
        superuser.run(
            "INSERT INTO write.outbox (topic, partition, payload, created_at) VALUES"
            " ('in', 0, '', now() - interval '1 hour'), ('in', 0, '', now());"
            "INSERT INTO write.idempotency"
            " VALUES ('old', now() - interval '2 days'), ('new', now())"
        )
    with closing(PostgresDatabase(target, (7,))) as one, closing(PostgresDatabase(target)) as two:
        one.connect()
        two.connect()
        found = read_state(target)
        with admin_connection(target) as connection:
            assert held_node_ids(connection, 1) == ()
    assert found.outbox_rows == 2
    assert 3600 <= found.outbox_oldest < 3660
    assert 172_800 <= found.oldest_claim < 172_860
    assert found.node_ids == (0, 7)


def test_there_is_no_state_without_a_schema(
    target: DatabaseUrl, migrated_database: Database
) -> None:
    """Only a person can help where there are no tables yet."""
    with connected(migrated_database.superuser) as superuser:
        superuser.run("DELETE FROM write.databasechangelog")
    with pytest.raises(Unavailable) as caught:
        read_state(target)
    assert (caught.value.halt, caught.value.code) == (True, "no-schema")
