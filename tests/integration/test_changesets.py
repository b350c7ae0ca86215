"""Each changeset forth and back by itself, and both branches where one has two."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from attrs import frozen
from pg8000.exceptions import DatabaseError
from pg8000.native import Connection
from tests.harness.databases import Database, connected

from voltpay_adapters.postgres.inspection import PAYMENT_TABLES
from voltpay_adapters.postgres.resources import changelog_folder, changeset_ids

SCHEMA = """
    SELECT 'relation', relname, relkind::text, reloptions::text, relacl::text
    FROM pg_class WHERE relnamespace = 'write'::regnamespace AND relkind NOT IN ('i', 'I')
    UNION ALL
    SELECT 'column', attrelid::regclass::text || '.' || attname, format_type(atttypid, atttypmod),
        attnotnull || attstorage::text || attidentity::text, attcollation::regcollation::text
    FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
    WHERE relnamespace = 'write'::regnamespace AND relkind IN ('r', 'p') AND attnum > 0
    UNION ALL
    SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), NULL
    FROM pg_constraint WHERE connamespace = 'write'::regnamespace
    UNION ALL
    SELECT 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid), NULL, NULL
    FROM pg_index WHERE indrelid::regclass::text LIKE 'write.%'
    UNION ALL
    SELECT 'partman', parent_table, infinite_time_partitions::text, premake::text, NULL
    FROM partman.part_config
    UNION ALL
    SELECT 'template', relname, NULL, NULL, NULL
    FROM pg_class WHERE relnamespace = 'partman'::regnamespace AND relname LIKE 'template%'
    ORDER BY 1, 2, 3
"""


@frozen
class Changeset:
    """The SQL of a changeset, forth and back."""

    forth: str
    back: str


def changesets() -> Sequence[Changeset]:
    """The changesets in the order of their ids, as the files have them."""
    files = sorted(changelog_folder().glob("*.sql"))
    text = "\n".join(file.read_text("utf-8") for file in files)
    parts = re.split(r"^--changeset .*$", text, flags=re.MULTILINE)[1:]
    return [
        Changeset(
            "\n".join(line for line in part.splitlines() if not line.startswith("--")),
            "\n".join(re.findall(r"^--rollback (.*)$", part, re.MULTILINE)),
        )
        for part in parts
    ]


def schema(connection: Connection) -> list[list[str | None]]:
    """All that changesets make, as the catalogue has it; an empty list of rights is none."""
    connection.run("SET search_path = pg_catalog")
    return [
        [None if text == "{voltpay_migrator=arwdDxt/voltpay_migrator}" else text for text in row]
        for row in connection.run(SCHEMA)
    ]


def without_months(rows: list[list[str | None]]) -> list[list[str | None]]:
    """The schema without months: the rollback of their changeset keeps them, and the payments."""
    return [row for row in rows if not re.search(r"_p20\d\d", str(row[1]))]


def test_every_rollback_undoes_its_changeset(bare_database: Database) -> None:
    """After each rollback the schema is exactly what it was before that changeset."""
    with connected(bare_database.migrator) as connection:
        connection.run("CREATE TABLE write.databasechangelog (id text)")  # as Liquibase does
        before = []
        for changeset in changesets():
            before.append(schema(connection))
            connection.run(changeset.forth)
            assert schema(connection) != before[-1], changeset.forth
        for number, changeset in reversed(list(enumerate(changesets()))):
            connection.run(changeset.back)
            after = schema(connection)
            assert without_months(after) == without_months(before[number]), changeset_ids()[number]
        assert after == before[0]


PARTMAN_5 = """
    CREATE TABLE partman.asked (
        parent text, control text, type text, interval text, premake int, start text, fallback bool
    );
    GRANT ALL ON partman.asked TO voltpay_migrator;
    ALTER EXTENSION pg_partman DROP FUNCTION partman.create_parent({signature});
    DROP FUNCTION partman.create_parent({signature});
    CREATE FUNCTION partman.create_parent(
        p_parent_table text, p_control text, p_interval text, p_type text DEFAULT 'range',
        p_epoch text DEFAULT 'none', p_premake int DEFAULT 4,
        p_start_partition text DEFAULT NULL, p_default_table boolean DEFAULT true
    ) RETURNS boolean LANGUAGE sql AS $$
        INSERT INTO partman.asked VALUES (p_parent_table, p_control, p_type, p_interval,
            p_premake, p_start_partition, p_default_table);
        INSERT INTO partman.part_config (parent_table, control, partition_type, partition_interval)
        VALUES (p_parent_table, p_control, 'native', p_interval);
        SELECT true
    $$;
    UPDATE pg_extension SET extversion = '5.2.4' WHERE extname = 'pg_partman'
"""
"""What pg_partman 5 has in place of 4's function, as far as the changelog sees it."""


def test_pg_partman_5_is_asked_in_its_own_way(bare_database: Database) -> None:
    """By its version pg_partman is asked for months, by the words of 5, without a default table."""
    with connected(bare_database.superuser) as superuser:
        ((signature,),) = superuser.run(
            "SELECT pg_get_function_identity_arguments(oid) FROM pg_proc"
            " WHERE proname = 'create_parent' AND pronamespace = 'partman'::regnamespace"
        )
        superuser.run(PARTMAN_5.format(signature=signature))
    with connected(bare_database.migrator) as connection:
        for changeset in changesets()[:4]:
            connection.run(changeset.forth)
        asked = connection.run("SELECT * FROM partman.asked ORDER BY parent")
        ((month,),) = connection.run("SELECT date_trunc('month', now(), 'UTC')::timestamp")
        endless = connection.run(
            "SELECT parent_table, infinite_time_partitions FROM partman.part_config ORDER BY 1"
        )
    for (parent, *rest, start, fallback), table in zip(asked, PAYMENT_TABLES, strict=True):
        assert (parent, rest) == (f"write.{table}", ["created_at", "range", "1 month", 2])
        assert (start[:19], fallback) == (str(month), False)
    assert endless == [[f"write.{table}", True] for table in PAYMENT_TABLES]


def test_without_pg_partman_nothing_is_made(bare_database: Database) -> None:
    """Without pg_partman the changeset of the months fails, and says what to do first."""
    with connected(bare_database.superuser) as superuser:
        superuser.run("DROP EXTENSION pg_partman")
    with connected(bare_database.migrator) as connection:
        for changeset in changesets()[:3]:
            connection.run(changeset.forth)
        with pytest.raises(DatabaseError, match='run "voltpay db bootstrap" as a superuser first'):
            connection.run(changesets()[3].forth)
