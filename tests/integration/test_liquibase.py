"""What Liquibase is told: its arguments, its environment and the settings of its session."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from attrs import evolve
from tests.harness.databases import MIGRATOR_PASSWORD, Database, connected

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.resources import changelog_folder, changeset_ids
from voltpay_adapters.postgres.urls import DatabaseUrl

SCRIPT = """#!/bin/sh
printf '%s\\n' "$@" > arguments
env > environment
cat "$LIQUIBASE_COMMAND_DRIVER_PROPERTIES_FILE" > properties
printf 'first\\nsecond' >&2
exit 3
"""
COMMANDS: list[tuple[Callable[[Liquibase], int], list[str]]] = [
    (Liquibase.update, ["update"]),
    (Liquibase.update_sql, ["update-sql"]),
    (lambda liquibase: liquibase.rollback(2), ["rollback-count", "--count=2"]),
    (Liquibase.status, ["status", "--verbose"]),
    (Liquibase.history, ["history"]),
    (Liquibase.clear_checksums, ["clear-checksums"]),
    (Liquibase.release_locks, ["release-locks"]),
    (Liquibase.validate, ["validate"]),
]


@pytest.fixture
def liquibase(
    migrated_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Liquibase:
    """A program in the place of Liquibase that writes down what it is told."""
    monkeypatch.chdir(tmp_path)
    program = tmp_path / "liquibase"
    program.write_text(SCRIPT)
    program.chmod(0o700)
    target = DatabaseUrl.parse(migrated_database.migrator)
    return Liquibase(target, program=str(program), sslmode="disable")


def environment() -> dict[str, str]:
    """The environment of the program, of which `env` prints each variable in a line."""
    lines = Path("environment").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


@pytest.mark.parametrize(("run", "arguments"), COMMANDS)
def test_each_command_is_one_run(
    run: Callable[[Liquibase], int],
    arguments: list[str],
    liquibase: Liquibase,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Liquibase gets the command's arguments; its exit code and messages are passed on."""
    assert run(liquibase) == 3
    assert Path("arguments").read_text().splitlines() == arguments
    assert capsys.readouterr().err == "first\nsecond"


def test_the_environment_names_database_and_changelog(
    liquibase: Liquibase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is passed wins over the environment, except for how long to wait for the lock."""
    monkeypatch.setenv("LIQUIBASE_SHOW_BANNER", "true")
    monkeypatch.setenv("LIQUIBASE_LOG_LEVEL", "info")
    liquibase.update()
    found = {name: it for name, it in environment().items() if name.startswith("LIQUIBASE_")}
    assert found.pop("LIQUIBASE_COMMAND_DRIVER_PROPERTIES_FILE").endswith(".properties")
    assert found == {
        "LIQUIBASE_ANALYTICS_ENABLED": "false",
        "LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES": "1",
        "LIQUIBASE_COMMAND_CHANGELOG_FILE": "root.yaml",
        "LIQUIBASE_COMMAND_PASSWORD": MIGRATOR_PASSWORD,
        "LIQUIBASE_COMMAND_URL": liquibase.target.jdbc({"sslmode": "disable"}),
        "LIQUIBASE_COMMAND_USERNAME": "voltpay_migrator",
        "LIQUIBASE_LIQUIBASE_SCHEMA_NAME": "write",
        "LIQUIBASE_LOG_LEVEL": "info",
        "LIQUIBASE_SEARCH_PATH": str(changelog_folder()),
        "LIQUIBASE_SHOW_BANNER": "false",
    }
    monkeypatch.setenv("LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES", "7")
    liquibase.update()
    assert environment()["LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES"] == "7"


def test_java_must_read_the_password(
    liquibase: Liquibase, migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a password that is not ASCII needs another encoding of the environment."""
    monkeypatch.setenv("LC_ALL", "C")
    liquibase.update()
    assert environment()["LC_ALL"] == "C"
    evolve(liquibase, target=DatabaseUrl.parse(migrated_database.writer)).update()
    assert environment()["LC_ALL"] == "C.UTF-8"


def test_the_session_has_the_settings_of_every_session(liquibase: Liquibase) -> None:
    """The driver's properties hold all settings of our own sessions, with spaces escaped."""
    liquibase.update()
    with admin_connection(liquibase.target) as connection:
        settings = connection.settings
    properties = Path("properties").read_text()
    escaped = {name: value.replace(" ", "\\\\ ") for name, value in settings.items()}
    assert properties == f"options={' '.join(f'-c {n}={v}' for n, v in escaped.items())}\n"
    assert r"-c DateStyle=ISO,\\ MDY " in properties


def test_what_was_run_is_known(liquibase: Liquibase) -> None:
    """The changesets that were run are known with their times, and the newest are undone first."""
    applied = liquibase.applied()
    assert tuple(applied) == changeset_ids()
    now = datetime.now(UTC)
    assert all(timedelta(0) < now - at < timedelta(days=1) for at in applied.values())
    plan = liquibase.undo_plan(13)
    assert [undo.changeset for undo in plan] == list(reversed(changeset_ids()))[:13]
    (notes,) = (undo for undo in plan if undo.changeset == "003")
    assert (notes.dropped, notes.sql) == (
        {"write.payment_notes": 0},
        "DROP TABLE write.payment_notes;",
    )


def test_rows_that_a_rollback_drops_are_counted(
    liquibase: Liquibase, migrated_database: Database
) -> None:
    """A plan counts the rows of each table that goes; a changeset of nobody is named as such."""
    with connected(migrated_database.superuser) as superuser:
        superuser.run(
            "INSERT INTO write.idempotency SELECT n::text, now() FROM generate_series(1, 12) AS n;"
            "UPDATE write.databasechangelog SET id = '999' WHERE id = '015'"
        )
    plan = {undo.changeset: undo for undo in liquibase.undo_plan(15)}
    assert plan["999"].sql == "not known to this program"
    assert plan["005"].dropped == {"write.idempotency": 12}


def test_the_holder_of_the_lock_is_named(liquibase: Liquibase, migrated_database: Database) -> None:
    """Nobody holds the lock, or the one whom Liquibase has written down."""
    assert liquibase.lock_holder() is None
    with connected(migrated_database.superuser) as superuser:
        superuser.run(
            "UPDATE write.databasechangeloglock SET locked = true, lockedby = 'a host',"
            " lockgranted = '2026-01-02 03:04:05'"
        )
        assert liquibase.lock_holder() == "a host since 2026-01-02 03:04:05"
        superuser.run("DROP TABLE write.databasechangeloglock, write.databasechangelog")
    assert liquibase.lock_holder() is None
    assert liquibase.applied() == {}
