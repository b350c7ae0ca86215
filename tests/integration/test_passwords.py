"""Passwords of any Unicode: as PostgreSQL hashes them, and as psql sends them, so do we."""

from __future__ import annotations

import os
import subprocess
from base64 import b64decode
from collections.abc import Iterator

import pytest
from attrs import evolve
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pg8000.native import literal
from tests.harness.databases import Database, bootstrapped, connected
from tests.harness.stack.postgres import PostgresAddress, PostgresServer

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.bootstrap import MIGRATOR, WRITER, bootstrap
from voltpay_adapters.postgres.passwords import scram_verifier
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured, Unavailable

ODD = {
    "emoji": "密码😀",
    "compatible": "\ufb01 \u2168 \uff21",  # a ligature, a Roman numeral, a full-width letter
    "soft hyphen": "pass\u00adword",
    "soft hyphens only": "\u00ad\u00ad",
    "spaces": "a\u00a0b\u3000c\u200bd",
    "right to left": "\u0627\u0644\u0633\u0631",
    "both directions": "a\u0627\u0644b",
    "right to left, then a digit": "\u06271",
    "fraction, dashes and diaeresis": "1234\u00a8\u2011\u00bc###",
    "control": "a\x07b",
    "deprecated mark": "a\u0340",
    "letter that becomes right to left": "a\u2135",
    "private use": "\ue000",
    "decomposed": "e\u0301",
    "quotes": "'\"\\:@/%",
    "not UTF-8": "caf\udce9",
}
characters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
telling = st.sampled_from("a1 \u00ad\u00a0\u200b\u0627\u05d0\u2135\u0340\ufb01\ue000\u0301😀é")


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server that asks everybody for a password."""
    with PostgresServer(durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def database(server: PostgresServer) -> Iterator[Database]:
    with bootstrapped(server) as database:
        yield database


def writer_with(database: Database, password: str | None) -> DatabaseUrl:
    return evolve(DatabaseUrl.parse(database.writer), password=password)


@settings(max_examples=100)
@given(st.text(characters | telling | telling, min_size=1, max_size=8))
@example("密码😀")
@example("\u00ad")
def test_a_verifier_is_postgresqls_own(database: Database, password: str) -> None:
    """For every password and salt the verifier is PostgreSQL's own."""
    with connected(database.superuser) as connection:
        connection.run(f"ALTER ROLE voltpay_migrator PASSWORD {literal(password)}")
        ((theirs,),) = connection.run(
            "SELECT rolpassword FROM pg_authid WHERE rolname = 'voltpay_migrator'"
        )
    salt = b64decode(theirs.split("$")[1].partition(":")[2])
    assert scram_verifier(password, salt) == theirs


@pytest.mark.parametrize("password", ODD.values(), ids=ODD)
def test_a_password_lets_in(password: str, server: PostgresServer, database: Database) -> None:
    """psql and the writer can log in with any password that bootstrap has set."""
    bootstrap(DatabaseUrl.parse(database.superuser), writer_password=password)
    target = writer_with(database, password)
    with admin_connection(target) as opened:
        assert opened.run("SELECT current_user") == [[WRITER]]
    assert by_psql(server, database, password) == WRITER


def by_psql(server: PostgresAddress, database: Database, password: str) -> str:
    run = subprocess.run(
        ["psql", "-XAtc", "SELECT current_user", server.url(WRITER, database.name)],
        env=os.environ | {"PGPASSWORD": password},
        capture_output=True,
        check=False,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_liquibase_logs_in_with_any_password(
    database: Database, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Java gets any Unicode password in any locale; a wrong one is reported before Java runs."""
    password = ODD["emoji"]
    bootstrap(DatabaseUrl.parse(database.superuser), migrator_password=password)
    monkeypatch.setenv("LC_ALL", "C")
    url = server.url(MIGRATOR, database.name, password)
    there = evolve(database, migrator=url)
    assert there.liquibase.update() == 0
    wrong = evolve(database, migrator=server.url(MIGRATOR, database.name, "wrong"))
    with pytest.raises(Unavailable, match="password authentication failed"):
        wrong.liquibase.update()


@pytest.mark.parametrize("password", ["a\0b", "\ud800"])
def test_what_no_password_can_hold_is_rejected(password: str, database: Database) -> None:
    """A NUL or a lone surrogate is a wrong setting; the error does not show the password."""
    target = DatabaseUrl.parse(database.superuser)
    with pytest.raises(Misconfigured, match="a database password has") as caught:
        bootstrap(target, writer_password=password)
    assert password not in str(caught.value)
    with (
        pytest.raises(Misconfigured, match="a database password has"),
        admin_connection(writer_with(database, password)),
    ):
        pass


def test_a_password_that_is_missing_is_asked_for(
    server: PostgresServer, database: Database
) -> None:
    """If a password is missing, the error says so and names the database."""
    target = writer_with(database, None)
    with (
        pytest.raises(Misconfigured, match=f"{database.name} needs a password"),
        admin_connection(target),
    ):
        pass
