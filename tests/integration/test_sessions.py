"""The sessions of the project depend on nothing that a server, a database or a role may set."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import evolve
from tests.harness.databases import (
    MIGRATOR_PASSWORD,
    WRITER_PASSWORD,
    Database,
)
from tests.harness.deployment import Deployment
from tests.harness.proxy import Proxy
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresAddress

from voltpay_adapters.postgres import session_settings
from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.bootstrap import MIGRATOR, WRITER
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.inspection import missing_months
from voltpay_adapters.postgres.maintenance import maintain
from voltpay_adapters.postgres.session import Session
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl, Host
from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition

PLACE = Partition("payments", 0)
SHORT = "1000"  # milliseconds: a shorter limit would end any client at once
ODD = {
    "DateStyle": ("German", "SQL, DMY"),
    "TimeZone": ("Asia/Kathmandu", "America/St_Johns"),
    "application_name": ("", "x" * 63),
    "client_encoding": ("LATIN1", "SJIS"),
    "default_tablespace": ("", "nowhere"),
    "default_text_search_config": ("pg_catalog.simple", "pg_catalog.simple"),
    "lc_monetary": ("POSIX", "POSIX"),
    "lc_numeric": ("POSIX", "POSIX"),
    "lc_time": ("POSIX", "POSIX"),
    "plpgsql.check_asserts": ("off", "off"),
    "plpgsql.extra_errors": ("all", "all"),
    "plpgsql.extra_warnings": ("all", "all"),
    "restrict_nonsystem_relation_kind": ("view, foreign-table", "view"),
    "search_path": ("nowhere", "partman, write, pg_catalog"),
    "temp_tablespaces": ("nowhere", "nowhere"),
    "timezone_abbreviations": ("India", "Australia"),
}
"""Unusual values of settings that are text, which `pg_settings` does not list."""

LEFT_OUT = {
    "default_table_access_method": "PostgreSQL has one only",
    "local_preload_libraries": "a library that is not there lets nobody in",
    "temp_buffers": "no server has the memory for the most, and the least is 100",
    "transaction_deferrable": "of the transaction at hand, not a default",
    "transaction_isolation": "of the transaction at hand, not a default",
    "transaction_read_only": "of the transaction at hand, not a default",
}


def unusual(postgres: PostgresAddress, extreme: int) -> dict[str, str]:
    """Every setting that a user may change, far from its default: 0 for the least, -1 the most."""
    found = json.loads(
        postgres.run_sql(
            "SELECT json_agg(row_to_json(found)) FROM pg_settings AS found WHERE context = 'user'"
        )
    )
    known = {
        setting["name"]: setting
        for setting in found
        if setting["name"] not in LEFT_OUT
        and (setting["vartype"] != "string" or setting["name"] in ODD)
    }
    chosen = {name: _unusual(setting, extreme) for name, setting in known.items()}
    return chosen | {name: odd[extreme] for name, odd in ODD.items() if name.startswith("plpgsql.")}


def _unusual(setting: Mapping[str, str], extreme: int) -> str:
    match setting:
        case {"vartype": "bool", "boot_val": default}:
            return "off" if default == "on" else "on"
        case {"vartype": "enum", "enumvals": values, "boot_val": default}:
            return [value for value in values if value != default][extreme]
        case {"vartype": "integer", "unit": "ms"}:
            return SHORT
        case {"vartype": "integer" | "real", "min_val": least, "max_val": most}:
            return (least, most)[extreme]
    return ODD[setting["name"]][extreme]


@contextmanager
def bent(postgres: PostgresAddress, database: str, values: Mapping[str, str]) -> Iterator[None]:
    """Set these for a database and, which counts for more, for each role in it."""
    owners = [f"DATABASE {database}"]
    owners += [f"ROLE {role} IN DATABASE {database}" for role in ("postgres", MIGRATOR, WRITER)]
    for owner in owners:
        postgres.run_sql(
            "\n".join(
                f"ALTER {owner} SET {name} TO {_in_sql(name, value)};"
                for name, value in values.items()
            )
        )
    yield
    for owner in owners:
        postgres.run_sql(f"ALTER {owner} RESET ALL")


def _in_sql(name: str, value: str) -> str:
    lists = name in {"search_path", "temp_tablespaces", "restrict_nonsystem_relation_kind"}
    parts = value.split(", ") if lists else [value]
    return ", ".join(f"'{part}'" for part in parts)


@pytest.fixture
def fresh_database(postgres: PostgresAddress, migrated_template: str) -> Iterator[Database]:
    """An empty database on a server that has the roles already."""
    name = f"voltpay_test_{secrets.token_hex(4)}"
    postgres.create_database(name)
    yield Database(
        name,
        postgres.superuser_url(name),
        postgres.url(MIGRATOR, name, MIGRATOR_PASSWORD),
        postgres.url(WRITER, name, WRITER_PASSWORD),
    )
    postgres.drop_database(name)


@pytest.fixture
def deployment(
    kafka: KafkaAddress, fresh_database: Database, tmp_path: Path
) -> Iterator[Deployment]:
    settings = {
        "database.superuser": fresh_database.superuser,
        "database.migrator": fresh_database.migrator,
        "database.migrator_password": MIGRATOR_PASSWORD,
        "database.password": WRITER_PASSWORD,
        "database.liquibase_classpath": str(jars("liquibase")),
        "kafka.options.session_timeout_ms": "6000",
    }
    with closing(
        Deployment(kafka, fresh_database, tmp_path, partitions=2, settings=settings)
    ) as deployment:
        deployment.prepare()
        yield deployment


@pytest.mark.parametrize("extreme", [0, -1], ids=["least", "most"])
def test_everything_works_whatever_is_set(
    extreme: int, deployment: Deployment, postgres: PostgresAddress
) -> None:
    """With every setting of users at an extreme, each command does what it does without."""
    with bent(postgres, deployment.database.name, unusual(postgres, extreme)):
        for command in ("bootstrap", "update", "maintain"):
            told = deployment.run("db", command)
        now = datetime.now(UTC)
        assert f"payment_notes {now:%Y-%m}" in told
        assert "DEFAULT" not in told
        deployment.run("produce", "--count", "300", "--poison", "0.1", "--seed", "1")
        killed = deployment.consume(1, "--exit-eof", failing="2 after commit = kill")
        assert killed.exit_code() == -9
        assert "published the events of" in deployment.run("consume", "--exit-eof")
        letters = deployment.letter_codes().total()
        assert letters > 0
        assert f"sent {letters}" in _all_sent(deployment.run("dead-letter", "replay", "--yes"))
        assert f"dead letters {letters}" in deployment.run("consume", "--exit-eof")
        assert "deleted 0 claims" in deployment.run("idempotency", "purge", "--force")
        files = ("--source", "file:voltpay.toml", "--events", "file:out")
        assert "FAIL" not in deployment.run("check", *files)
    assert deployment.violations(kills=1) == []


def _all_sent(told: str) -> str:
    counts = [int(line.split()[2].strip(",")) for line in told.splitlines() if ": sent " in line]
    return f"sent {sum(counts)}"


@pytest.mark.parametrize("extreme", [0, -1], ids=["least", "most"])
def test_every_session_has_its_own_settings(
    extreme: int,
    migrated_database: Database,
    postgres: PostgresAddress,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """PostgreSQL itself gives the fixed values back, in every session that is opened."""
    fixed = {**session_settings._ALWAYS, "synchronous_commit": "on"}
    own = Timeouts().for_server()
    names = ", ".join(f"'{name}'" for name in {**fixed, **own})
    query = (
        f"SELECT name, current_setting(name) FROM pg_settings WHERE name IN ({names})"
        " AND pg_backend_pid() > 0"  # a parallel worker has no socket, of which some settings are
    )
    with bent(postgres, migrated_database.name, unusual(postgres, extreme)):
        for url in (migrated_database.superuser, migrated_database.migrator):
            with admin_connection(DatabaseUrl.parse(url)) as administration:
                assert_fixed(dict(administration.run(query)), fixed)
        writer = Session.open(DatabaseUrl.parse(migrated_database.writer), Timeouts())
        with closing(writer):
            assert_fixed(dict(writer.run(query)), fixed | own)
        capfd.readouterr()
        assert migrated_database.liquibase._run("execute-sql", f"--sql={query}") == 0
    told = capfd.readouterr().out
    rows = [line.split("|") for line in told.splitlines() if line.count("|") == 2]
    found = {name.strip(): value.strip() for name, value, _ in rows}
    by_the_driver = ("TimeZone", "extra_float_digits")
    assert_fixed(found, {n: v for n, v in fixed.items() if n not in by_the_driver})


def assert_fixed(found: Mapping[str, str], wanted: Mapping[str, str]) -> None:
    """Those that this server knows are as wanted; times are in whatever unit."""
    milliseconds = {name: str(_milliseconds(value)) for name, value in found.items()}
    known = {name: value for name, value in wanted.items() if name in found}
    assert len(known) > 25
    assert {name: milliseconds[name] for name in known} == known


def _milliseconds(value: str) -> str | int:
    for unit, factor in (("ms", 1), ("min", 60_000), ("s", 1000)):
        if value.endswith(unit) and value.removesuffix(unit).isdigit():
            return int(value.removesuffix(unit)) * factor
    return value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("bytea_output", "escape"),
        ("DateStyle", "SQL, DMY"),
        ("DateStyle", "German"),
        ("standard_conforming_strings", "off"),
        ("client_encoding", "LATIN1"),
        ("client_encoding", "EUC_TW"),
        ("default_transaction_read_only", "on"),
        ("search_path", "nowhere"),
        ("exit_on_error", "on"),
    ],
)
def test_a_default_changes_no_answer(
    name: str, value: str, migrated_database: Database, postgres: PostgresAddress
) -> None:
    """Waiting bytes, months, the clock and text are the same whatever one default is."""
    migrator = DatabaseUrl.parse(migrated_database.migrator)
    before = maintain(migrator)
    database = PostgresDatabase(DatabaseUrl.parse(migrated_database.writer))
    with bent(postgres, migrated_database.name, {name: value}), closing(database):
        with database.begin() as work:
            work.outbox.put({PLACE: b"\\\x00'e\xff"})
            assert work.idempotency.claim(["5 €"]) == {"5 €"}
        with database.begin() as work:
            assert [row.payload for row in work.outbox.pending([PLACE])] == [b"\\\x00'e\xff"]
            assert work.idempotency.claim(["5 €"]) == set()
        assert maintain(migrator) == before
    assert missing_months(before, datetime.now(UTC)) == ()


@pytest.mark.parametrize(
    ("weak", "effective"),
    [
        ("off", "on"),
        ("local", "on"),
        ("remote_write", "on"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ],
)
def test_a_commit_is_durable(
    weak: str, effective: str, migrated_database: Database, postgres: PostgresAddress
) -> None:
    """A weaker synchronous_commit is raised, a stronger one stays."""
    with bent(postgres, migrated_database.name, {"synchronous_commit": weak}):
        writer = Session.open(DatabaseUrl.parse(migrated_database.writer), Timeouts())
        with closing(writer):
            assert writer.run("SHOW synchronous_commit") == [[effective]]


def test_a_damaged_answer_ends_a_session_and_no_more(
    migrated_database: Database, postgres: PostgresAddress
) -> None:
    """An answer that cannot be read is an outage that the next unit of work has left behind."""
    target = DatabaseUrl.parse(migrated_database.writer)
    with Proxy((postgres.host, postgres.port)) as proxy:
        target = evolve(target, hosts=(Host("127.0.0.1", proxy.port),))
        with closing(PostgresDatabase(target)) as database:
            database.connect()
            proxy.damage = lambda answer: b"\xff" + answer[1:]
            with pytest.raises(Unavailable, match="cannot be read") as outage, database.begin():
                pass
            assert not outage.value.halt
            proxy.damage = lambda answer: answer
            with database.begin() as work:
                assert work.idempotency.claim(["m"]) == {"m"}
