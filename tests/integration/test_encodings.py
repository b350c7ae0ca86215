"""Databases that are not in UTF8: no text is lost, and none is changed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, nullcontext
from decimal import Decimal

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.harness.checker import violations
from tests.harness.cli import voltpay
from tests.harness.databases import Database, bootstrapped, connected
from tests.harness.postgres import PostgresHarness
from tests.harness.stack.postgres import PostgresAddress
from tests.harness.world import RunOptions, World

from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.testing.strategies import message_ids, new_payments
from voltpay_core.codec import Codec
from voltpay_core.errors import Unavailable
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Partition, Record

ENCODINGS = ("SQL_ASCII", "LATIN1", "EUC_JP")
BROKEN_BAR = "a\u00a6"  # which EUC_JP keeps as U+FFE4

texts = st.text(st.sampled_from("aé€ß¦~日本語ﾊ\uff5e😀\u0301\\\"'"), min_size=1, max_size=6)
payments = new_payments(message_ids=texts | message_ids, account_ids=st.integers(1, 3))


@pytest.fixture(scope="module", params=ENCODINGS)
def database(request: pytest.FixtureRequest, postgres: PostgresAddress) -> Iterator[Database]:
    """A database in another encoding, made by the project's own commands."""
    form = f"ENCODING '{request.param}' LOCALE 'C'"
    with bootstrapped(postgres, form=form) as database:
        assert database.liquibase.update() == 0
        yield database


@pytest.fixture
def harness(database: Database) -> Iterator[PostgresHarness]:
    with closing(PostgresHarness(database)) as harness:
        yield harness


def stated(message_id: str, comment: str | None = None) -> NewPayment:
    return NewPayment(message_id, 1, Decimal(1), "EUR", Status.SUCCESS, "VSA", comment)


def record(number: int, value: bytes, account_id: int = 1) -> Record:
    return Record(Partition("payment_writer_topic", 0), number, 0, str(account_id).encode(), value)


@settings(max_examples=15)
@given(st.lists(payments, min_size=1, max_size=6))
@example([stated("first"), stated(BROKEN_BAR), stated("a\uffe4"), stated("last", "5 €")])
@example([stated("é", "café"), stated("2", "😀" * 300), stated("3", BROKEN_BAR)])
def test_the_batch_goes_on(
    database: Database, harness: PostgresHarness, made: list[NewPayment]
) -> None:
    """Each record with valid text becomes its very payment, a duplicate or a dead letter."""
    harness.empty()
    world = World(harness)
    codec = Codec()
    world.produce(
        record(number, codec.encode_payment(payment), payment.account_id)
        for number, payment in enumerate(made)
    )
    total = world.run(RunOptions())
    assert total.records == len(made)
    assert violations(evolve(world.history(), refused=None)) == []
    ids = {payment.message_id for payment in made}
    assert total.written + total.dead_letters >= len(ids)


def test_an_encoding_is_reported(database: Database, request: pytest.FixtureRequest) -> None:
    """Check names the encoding with the way out, and so does a start, once."""
    found = voltpay("check", env={"VOLTPAY_STORE": database.writer})
    (line,) = (line for line in found.stdout.splitlines() if " encoding: " in line)
    assert line.startswith("FAIL encoding: ")
    assert any(f"{name} c" in line for name in ENCODINGS)
    assert "ENCODING 'UTF8'" in line
    told: list[str] = []
    opened = PostgresDatabase(DatabaseUrl.parse(database.writer), notify=told.append)
    with closing(opened):
        for _ in range(2):
            opened.connect()
            opened.close()
    (warning,) = told
    assert warning.endswith(line.removeprefix("FAIL encoding: "))


def test_a_name_that_it_cannot_hold_is_no_messages_fault(
    database: Database, harness: PostgresHarness
) -> None:
    """If the database rejects a file's name, the writer halts; it does not crash."""
    with connected(database.superuser) as connection:
        takes_all = connection.run("SHOW server_encoding") == [["SQL_ASCII"]]
    place = Partition("file:\U0001f600", 0)
    with (
        nullcontext() if takes_all else pytest.raises(Unavailable, match="SQLSTATE 22P05"),
        harness.open().begin() as work,
    ):
        assert work.fence.bump_epochs([place]) == {place: 1}
