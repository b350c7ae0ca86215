"""The schema's laws, on a real PostgreSQL with pg_partman, made by the real Liquibase."""

import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from tests.harness.cli import voltpay
from tests.harness.databases import (
    MIGRATOR_PASSWORD,
    Database,
    bare_database,
    bootstrapped,
    connected,
    migrated_database,
    migrated_template,
)
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresAddress

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.bootstrap import bootstrap
from voltpay_adapters.postgres.changelog import schema_version
from voltpay_adapters.postgres.inspection import (
    PAYMENT_TABLES,
    missing_months,
    partitions,
    privileges,
)
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.maintenance import maintain
from voltpay_adapters.postgres.resources import (
    bootstrap_file,
    changelog_folder,
    changeset_ids,
)
from voltpay_adapters.postgres.urls import DatabaseUrl, Host
from voltpay_core.errors import Misconfigured, Unavailable

__all__ = ["bare_database", "migrated_database", "migrated_template"]

ID = "01JDEWQ2Z8GQ5XW4T9V7N3B6KM-007"
CORE = {
    "id": f"'{ID}'",
    "amount": "12.5",
    "status": "2",
    "currency": "'EUR'",
    "account_id": "42",
    "type": "'VSA'",
    "created_at": "now()",
}
METADATA = {"id": f"'{ID}'", "created_at": "now()", "updated_at": "now()", "version": "1"}
NOTES = {
    "id": f"'{ID}'",
    "created_at": "now()",
    "external_ref_id": "'invoice 7'",
    "comment": "NULL",
}
ROWS = dict(zip(PAYMENT_TABLES, (CORE, METADATA, NOTES), strict=True))


@pytest.fixture(scope="module")
def writer(postgres: PostgresAddress, migrated_template: str) -> Iterator[Connection]:
    """The writer's connection to a database for tests that do not mind each other's rows."""
    with (
        bootstrapped(postgres, migrated_template) as database,
        connected(database.writer) as connection,
    ):
        yield connection


def insert(table: str, **changes: str) -> str:
    row = ROWS[table] | changes
    return f"INSERT INTO write.{table} ({', '.join(row)}) VALUES ({', '.join(row.values())})"


def refusal(connection: Connection, sql: str) -> dict[str, str]:
    """The fields of the server's rejection: C is the SQLSTATE, n the constraint."""
    with pytest.raises(DatabaseError) as caught:
        connection.run(sql)
    fields: dict[str, str] = caught.value.args[0]
    return fields


def months(database: Database) -> dict[str, list[tuple[datetime | None, datetime | None]]]:
    with admin_connection(DatabaseUrl.parse(database.migrator)) as connection:
        found = partitions(connection)
    return {
        table: [(p.start, p.end) for p in found if p.table == table] for table in PAYMENT_TABLES
    }


def month(ahead: int) -> datetime:
    """The first moment of the month that comes `ahead` months after this one."""
    moment = datetime.now(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    for _ in range(ahead):
        moment = (moment + timedelta(days=31)).replace(day=1)
    return moment


PREMADE = [(month(ahead), month(ahead + 1)) for ahead in range(3)]


def changesets() -> list[str]:
    """The text of each changeset, in order."""
    files = sorted(changelog_folder().glob("*.sql"))
    return [
        text
        for file in files
        for text in re.split(r"^--changeset ", file.read_text(), flags=re.MULTILINE)[1:]
    ]


def test_the_root_includes_every_file_in_the_order_of_its_number() -> None:
    """Liquibase runs the numbered files in the order of their numbers, and forgets none."""
    included = re.findall(r"file: (\S+\.sql)", (changelog_folder() / "root.yaml").read_text())
    assert included == sorted(file.name for file in changelog_folder().glob("*.sql"))


def test_ids_ascend_through_all_files() -> None:
    """The ids of changesets are in order and unique."""
    ids = changeset_ids()
    assert list(ids) == sorted(set(ids))
    assert len(ids) == len(changesets())


@pytest.mark.parametrize("changeset", changesets(), ids=changeset_ids())
def test_a_changeset_says_how_to_undo_it(changeset: str) -> None:
    """Every changeset has its own rollback, and no $$ body is cut at its semicolons."""
    head = changeset.splitlines()[0]
    assert re.search(r"^--rollback \S", changeset, re.MULTILINE)
    assert ("$$" in changeset) == ("splitStatements:false" in head)


def test_everything_can_be_undone_and_done_again(bare_database: Database) -> None:
    """A full rollback leaves nothing of the schema behind, and the next update makes it whole."""
    left = """
        SELECT oid::regclass::text FROM pg_class
        WHERE relnamespace IN ('write'::regnamespace, 'partman'::regnamespace)
          AND pg_get_userbyid(relowner) = 'voltpay_migrator' AND relkind IN ('r', 'p', 'S')
        UNION ALL SELECT parent_table FROM partman.part_config
        ORDER BY 1
    """
    liquibase = bare_database.liquibase
    assert liquibase.update() == 0
    with connected(bare_database.superuser) as connection:
        made = connection.run(left)
    assert liquibase.rollback(len(changeset_ids())) == 0
    with connected(bare_database.superuser) as connection:
        assert connection.run(left) == [
            ["write.databasechangelog"],
            ["write.databasechangeloglock"],
        ]
    assert liquibase.update() == 0
    with connected(bare_database.superuser) as connection:
        assert connection.run(left) == made
    assert months(bare_database) == dict.fromkeys(PAYMENT_TABLES, PREMADE)


def test_undoing_the_partitioning_keeps_the_payments(migrated_database: Database) -> None:
    """Rolling back to the bare tables and updating again loses no row."""
    with connected(migrated_database.writer) as connection:
        connection.run(insert("payment_core"))
    back_to_the_tables = len(changeset_ids()) - changeset_ids().index("004")
    assert migrated_database.liquibase.rollback(back_to_the_tables) == 0
    assert migrated_database.liquibase.update() == 0
    with connected(migrated_database.writer) as connection:
        assert connection.run("SELECT id FROM write.payment_core") == [[ID]]
    assert months(migrated_database) == dict.fromkeys(PAYMENT_TABLES, PREMADE)


def test_months_begin_at_midnight_utc_wherever_liquibase_runs(
    bare_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This month and the next two exist after an update, bounded in UTC whatever Java's zone is."""
    monkeypatch.setenv("JAVA_TOOL_OPTIONS", "-Duser.timezone=America/St_Johns")
    assert bare_database.liquibase.update() == 0
    assert months(bare_database) == dict.fromkeys(PAYMENT_TABLES, PREMADE)


def test_maintenance_makes_the_months_that_lack_and_no_default(
    migrated_database: Database,
) -> None:
    """Idle tables get their next two months back, and never a DEFAULT partition."""
    with admin_connection(DatabaseUrl.parse(migrated_database.migrator)) as connection:
        for partition in partitions(connection):
            if partition.start != month(0):
                connection.run(f"DROP TABLE write.{partition.name}")
        lacking = missing_months(partitions(connection), datetime.now(UTC))
    assert lacking == tuple(f"{table} {month(1):%Y-%m}" for table in PAYMENT_TABLES)

    made = maintain(DatabaseUrl.parse(migrated_database.migrator))

    assert missing_months(made, datetime.now(UTC)) == ()
    for table in PAYMENT_TABLES:
        bounds = [
            (partition.start, partition.end) for partition in made if partition.table == table
        ]
        assert bounds[:3] == PREMADE
        assert (None, None) not in bounds


def test_maintenance_twice_changes_nothing(migrated_database: Database) -> None:
    """Maintenance may run as often as one likes."""
    assert maintain(DatabaseUrl.parse(migrated_database.migrator)) == maintain(
        DatabaseUrl.parse(migrated_database.migrator)
    )


def test_payment_tables_have_no_index_but_their_keys(migrated_database: Database) -> None:
    """An insert into a payment table, or any month of it, keeps one index: the primary key."""
    with connected(migrated_database.superuser) as connection:
        keys = connection.run("""
            SELECT DISTINCT regexp_replace(relname, '_p[0-9_]+$', ''),
                   pg_get_indexdef(indexrelid, 1, false), pg_get_indexdef(indexrelid, 2, false),
                   indisprimary, indnatts
            FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
            WHERE relnamespace = 'write'::regnamespace AND relname LIKE 'payment%'
            ORDER BY 1
        """)
    assert keys == [[table, "id", "created_at", True, 2] for table in PAYMENT_TABLES]


def test_there_is_no_foreign_key(migrated_database: Database) -> None:
    """No insert looks another table up."""
    with connected(migrated_database.superuser) as connection:
        keys = connection.run(
            "SELECT conname FROM pg_constraint"
            " WHERE contype = 'f' AND connamespace = 'write'::regnamespace"
        )
    assert keys == []


@pytest.mark.parametrize("table", PAYMENT_TABLES)
def test_a_row_of_no_month_is_rejected_without_a_constraint(table: str, writer: Connection) -> None:
    """The rejection of a row without a partition names no constraint; that of a bad value does."""
    far = "now() + interval '2 years'"
    updated = {"updated_at": far} if table == "payment_metadata" else {}
    fields = refusal(writer, insert(table, created_at=far, **updated))
    assert (fields["C"], fields.get("n")) == ("23514", None)


@pytest.mark.parametrize(
    ("table", "changes", "constraint"),
    [
        ("payment_core", {"id": "'short'"}, "payment_core_id_form"),
        ("payment_core", {"amount": "0"}, "payment_core_amount_positive"),
        ("payment_core", {"amount": "'NaN'"}, "payment_core_amount_positive"),
        ("payment_core", {"status": "1"}, "payment_core_status_known"),
        ("payment_core", {"currency": "'eur'"}, "payment_core_currency_form"),
        ("payment_core", {"account_id": "-1"}, "payment_core_account_id_natural"),
        ("payment_core", {"type": "''"}, "payment_core_type_form"),
        ("payment_metadata", {"id": "'short'"}, "payment_metadata_id_form"),
        ("payment_metadata", {"version": "0"}, "payment_metadata_version_positive"),
        (
            "payment_metadata",
            {"updated_at": "now() - interval '1 s'"},
            "payment_metadata_updated_later",
        ),
        ("payment_notes", {"id": "'short'"}, "payment_notes_id_form"),
    ],
)
def test_a_bad_value_is_rejected_by_a_named_constraint(
    table: str, changes: dict[str, str], constraint: str, writer: Connection
) -> None:
    """The database rejects a value that breaks a rule of payments, and names the rule."""
    fields = refusal(writer, insert(table, **changes))
    assert (fields["C"], fields["n"]) == ("23514", constraint)


@pytest.mark.parametrize(
    ("table", "changes"),
    [
        ("payment_core", {"amount": "100000000000000"}),
        ("payment_notes", {"comment": "repeat('x', 301)"}),
        ("payment_notes", {"external_ref_id": "repeat('x', 201)"}),
    ],
)
def test_what_is_too_long_is_rejected_not_cut(
    table: str, changes: dict[str, str], writer: Connection
) -> None:
    """No amount and no text is shortened to fit."""
    assert refusal(writer, insert(table, **changes))["C"] in {"22001", "22003"}


@pytest.mark.parametrize(
    "sql",
    [
        *(insert(table) for table in PAYMENT_TABLES),
        "INSERT INTO write.idempotency VALUES ('m') ON CONFLICT DO NOTHING RETURNING message_id",
        "DELETE FROM write.idempotency WHERE date < now() - interval '7 days'",
        "INSERT INTO write.outbox (topic, partition, payload) VALUES ('t', 0, '') RETURNING id",
        "DELETE FROM write.outbox WHERE id = 1",
        """
        INSERT INTO write.partition_fence AS fence (topic, partition, epoch) VALUES ('t', 0, 1)
        ON CONFLICT (topic, partition) DO UPDATE SET epoch = fence.epoch + 1 RETURNING epoch
        """,
        "SELECT epoch FROM write.partition_fence FOR SHARE",
        "SELECT pg_try_advisory_lock(1)",
    ],
)
def test_the_writer_may_write_rows(sql: str, writer: Connection) -> None:
    """The writer's role suffices for all that writing payments needs."""
    writer.run(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE write.mine (id int)",
        "CREATE TABLE public.mine (id int)",
        "CREATE TABLE partman.mine (id int)",
        "CREATE TEMPORARY TABLE mine (id int)",
        "CREATE SCHEMA mine",
        "CREATE INDEX ON write.idempotency (date)",
        "ALTER TABLE write.payment_core DROP CONSTRAINT payment_core_amount_positive",
        "DROP TABLE write.payment_core",
        *(f"TRUNCATE write.{table}" for table in (*PAYMENT_TABLES, "idempotency", "outbox")),
        "UPDATE write.payment_core SET amount = 1",
        "DELETE FROM write.payment_core",
        "UPDATE write.databasechangelog SET id = '1'",
        "SELECT partman.run_maintenance('write.payment_core')",
    ],
)
def test_the_writer_may_do_nothing_else(sql: str, writer: Connection) -> None:
    """The writer can neither change the schema nor take a written payment back."""
    assert refusal(writer, sql)["C"] == "42501"


def test_an_outbox_payload_is_stored_as_it_is(migrated_database: Database) -> None:
    """No time goes into compressing what is deleted a moment later."""
    with connected(migrated_database.writer) as connection:
        connection.run(
            "INSERT INTO write.outbox (topic, partition, payload)"
            " VALUES ('t', 0, convert_to(repeat('x', 100000), 'UTF8'))"
        )
        assert connection.run("SELECT pg_column_size(payload) FROM write.outbox") == [[100000]]


def test_a_role_can_ask_what_it_finds_and_may_do(migrated_database: Database) -> None:
    """The writer sees the schema's version, the months and its own rights."""
    with admin_connection(DatabaseUrl.parse(migrated_database.writer)) as connection:
        assert schema_version(connection) == changeset_ids()[-1]
        assert missing_months(partitions(connection), datetime.now(UTC)) == ()
        rights = privileges(connection)
    assert (rights.role, rights.missing, rights.excess) == ("voltpay_writer", (), ())


def test_a_role_with_too_many_rights_shows(migrated_database: Database) -> None:
    """The inspection distinguishes a migrator or superuser from the writer."""
    with admin_connection(DatabaseUrl.parse(migrated_database.migrator)) as connection:
        assert "owner of write.payment_core" in privileges(connection).excess
    with admin_connection(DatabaseUrl.parse(migrated_database.superuser)) as connection:
        assert "superuser" in privileges(connection).excess


def test_an_empty_database_has_no_version_and_no_rights(bare_database: Database) -> None:
    """Before the first update the questions have answers too."""
    with admin_connection(DatabaseUrl.parse(bare_database.writer)) as connection:
        assert schema_version(connection) is None
        assert "INSERT on write.payment_core" in privileges(connection).missing
        assert len(missing_months(partitions(connection), datetime.now(UTC))) == 6


def test_bootstrap_keeps_the_passwords_it_is_not_given(migrated_database: Database) -> None:
    """Running bootstrap again changes nothing, and the server never holds a clear password."""
    bootstrap(DatabaseUrl.parse(migrated_database.superuser))
    with connected(migrated_database.superuser) as connection:
        stored = connection.run(
            "SELECT rolpassword LIKE 'SCRAM-SHA-256$4096:%' FROM pg_authid"
            " WHERE rolname IN ('voltpay_migrator', 'voltpay_writer')"
        )
    assert stored == [[True], [True]]
    for url in (migrated_database.migrator, migrated_database.writer):
        with connected(url) as connection:
            assert connection.run("SELECT 1") == [[1]]


def test_psql_bootstraps_whatever_a_database_sets(
    postgres: PostgresAddress, bare_database: Database
) -> None:
    """The file stands by itself: psql runs it where strings and names are read otherwise."""
    undo = "DROP EXTENSION pg_partman; DROP SCHEMA partman; DROP SCHEMA write;"
    for name, value in (("standard_conforming_strings", "off"), ("search_path", "nowhere")):
        postgres.run_sql(f"ALTER DATABASE {bare_database.name} SET {name} = {value}")
    postgres.run_sql(undo, database=bare_database.name)
    postgres.run_sql(bootstrap_file().read_text(), database=bare_database.name)
    assert bare_database.liquibase.update() == 0
    assert months(bare_database) == dict.fromkeys(PAYMENT_TABLES, PREMADE)


def test_bootstrap_needs_a_superuser(migrated_database: Database) -> None:
    """Without the rights to bootstrap, the error gives PostgreSQL's reason."""
    with pytest.raises(Unavailable, match="SQLSTATE 42501: permission denied"):
        bootstrap(DatabaseUrl.parse(migrated_database.writer))


def test_liquibase_passes_its_failure_on(
    bare_database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """A changeset that fails is Liquibase's own message and exit code."""
    with connected(bare_database.superuser) as connection:
        connection.run("DROP EXTENSION pg_partman")
    assert bare_database.liquibase.update() != 0
    assert "pg_partman is not in this database" in "".join(capfd.readouterr())


@pytest.mark.parametrize("command", ["status", "history", "validate", "clear_checksums"])
def test_liquibase_answers_in_its_own_words(
    command: str, migrated_database: Database, capfd: pytest.CaptureFixture[str]
) -> None:
    """What Liquibase prints reaches the terminal, and 0 means that it succeeded."""
    assert getattr(migrated_database.liquibase, command)() == 0
    assert "Liquibase" in "".join(capfd.readouterr())


def test_the_password_is_not_on_the_command_line(
    bare_database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Nothing of the connection is in Liquibase's arguments, where every user could read it."""
    program = tmp_path / "liquibase"
    program.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        "print(sys.argv[1:], os.environ['LIQUIBASE_COMMAND_PASSWORD'])\n"
    )
    program.chmod(0o755)
    target = DatabaseUrl.parse(bare_database.migrator)
    assert Liquibase(target, program=str(program)).rollback(2) == 0
    assert capfd.readouterr().out == f"['rollback-count', '--count=2'] {MIGRATOR_PASSWORD}\n"
    assert MIGRATOR_PASSWORD not in repr(target)


LEFT_LOCKED = """
    UPDATE write.databasechangeloglock
    SET locked = true, lockgranted = '2026-11-25 09:00:00', lockedby = 'web-1 (10.0.0.7)'
"""


def test_a_lock_that_was_left_is_named_and_released(
    migrated_database: Database, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """The lock's holder is reported before Liquibase waits, and release-locks releases the lock."""
    with connected(migrated_database.superuser) as connection:
        connection.run(LEFT_LOCKED)
    holder = "held by web-1 (10.0.0.7) since 2026-11-25 09:00:00"
    program = tmp_path / "liquibase"
    program.write_text('#!/bin/sh\nexit "$LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES"\n')
    program.chmod(0o755)
    settings = {"VOLTPAY_DATABASE_MIGRATOR": migrated_database.migrator}
    by_stub = {**settings, "VOLTPAY_DATABASE_LIQUIBASE": str(program)}
    assert voltpay("db", "update", env=by_stub).exit_code == 69  # it would have waited one minute
    assert f"{holder}; if no update is running: voltpay db release-locks" in caplog.text
    by_jars = {**settings, "VOLTPAY_DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase"))}
    assert holder in voltpay("db", "release-locks", env=by_jars).stdout
    caplog.clear()
    assert voltpay("db", "update", env=by_jars).exit_code == 0
    assert all(record.name == "voltpay.audit" for record in caplog.records)


def test_a_missing_liquibase_is_named_with_the_way_out(tmp_path: Path) -> None:
    """Without Liquibase the message says what to install or to set."""
    target = DatabaseUrl((Host("db.example"),), "payments", "voltpay_migrator")
    with pytest.raises(Misconfigured, match="install Liquibase 4, or name a folder"):
        Liquibase(target, program=str(tmp_path / "liquibase")).update()
