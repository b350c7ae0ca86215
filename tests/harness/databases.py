"""Databases that hold the project's schema: made by Liquibase once, then copied for each test."""

import os
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from attrs import frozen
from pg8000.native import Connection
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresAddress

from voltpay_adapters.postgres.bootstrap import MIGRATOR, WRITER, bootstrap
from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.urls import DatabaseUrl

MIGRATOR_PASSWORD = "the migrator's: a/b@c"
WRITER_PASSWORD = "the writer's: ü%20"


@frozen
class Database:
    """One database, and the URLs by which superuser, migrator and writer reach it."""

    name: str
    superuser: str
    migrator: str
    writer: str

    @property
    def liquibase(self) -> Liquibase:
        """Liquibase as the migrator, from the jars of the stack."""
        return Liquibase(DatabaseUrl.parse(self.migrator), classpath=str(jars("liquibase")))


@contextmanager
def connected(url: str, seconds: float = 60) -> Iterator[Connection]:
    """A plain connection whose errors are the driver's own, with so long for each answer."""
    to = DatabaseUrl.parse(url)
    (host,) = to.hosts
    connection = Connection(
        *(to.user, host.name, to.database, host.port, to.password),
        timeout=seconds,
        ssl_context=False,  # making one costs more than all the rest of a connection
        startup_params={"client_encoding": "UTF8"},
    )
    with closing(connection):
        yield connection


@contextmanager
def bootstrapped(
    server: PostgresAddress, template: str = "template0", form: str = ""
) -> Iterator[Database]:
    """A copy of the database `template` with the roles in place; it goes in the end.

    `form` ends CREATE DATABASE, as with an encoding.
    """
    name = f"voltpay_test_{secrets.token_hex(4)}"
    database = Database(
        name,
        server.superuser_url(name),
        server.url(MIGRATOR, name, MIGRATOR_PASSWORD),
        server.url(WRITER, name, WRITER_PASSWORD),
    )
    server.run_sql(f'CREATE DATABASE "{name}" TEMPLATE "{template}" {form}')
    try:
        bootstrap(
            DatabaseUrl.parse(database.superuser),
            migrator_password=MIGRATOR_PASSWORD,
            writer_password=WRITER_PASSWORD,
        )
        yield database
    finally:
        server.drop_database(name)


@contextmanager
def migrated(server: PostgresAddress) -> Iterator[str]:
    """The name of a database with the newest schema and no rows, to copy from; dropped at last."""
    with bootstrapped(server) as database:
        assert database.liquibase.update() == 0
        yield database.name


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresAddress) -> Iterator[str]:
    """A template on the server that all share: the one of STACK_TEMPLATE, or our own."""
    if name := os.environ.get("STACK_TEMPLATE"):
        yield name
        return
    with migrated(postgres) as name:
        yield name


@pytest.fixture
def bare_database(postgres: PostgresAddress) -> Iterator[Database]:
    """A database with roles, schemas and pg_partman, that Liquibase has not seen."""
    with bootstrapped(postgres) as database:
        yield database


@pytest.fixture
def migrated_database(postgres: PostgresAddress, migrated_template: str) -> Iterator[Database]:
    """A database of this test's own with the newest schema and no rows."""
    with bootstrapped(postgres, migrated_template) as database:
        yield database
