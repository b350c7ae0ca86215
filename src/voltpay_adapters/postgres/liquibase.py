"""Runs Liquibase on the project's changelog as a child process, without showing a secret."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from tempfile import NamedTemporaryFile

from attrs import frozen

from voltpay_adapters.postgres.administration import Administration, admin_connection
from voltpay_adapters.postgres.changelog import Undo, applied_changesets, changelog_lock, undo_plan
from voltpay_adapters.postgres.defaults import LIQUIBASE, SSLMODE
from voltpay_adapters.postgres.resources import changelog_folder
from voltpay_adapters.postgres.tls import tls_context
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

_JAVA_DEFAULT_TRUST = {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
_UNLESS_SET = {"LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES": "1"}
_MAIN_CLASS = "liquibase.integration.commandline.LiquibaseCommandLine"


@frozen
class Liquibase:
    """Liquibase for one database.

    Each method runs Liquibase once. Liquibase writes to this process's stdout and stderr. The
    method returns its exit code; 0 means success. A ``LIQUIBASE_*`` environment variable that is
    not set here has the effect that Liquibase documents.

    Attributes:
        target: The database, with the migrator as its user.
        classpath: A folder with the jars of Liquibase, picocli and the PostgreSQL driver, or a Java
            class path; run by the ``java`` of JAVA_HOME or PATH.
        program: The path of the ``liquibase`` program, or its name on PATH; used without a class
            path.
        sslmode: libpq's ``disable``, ``require`` or ``verify-full``.
        sslrootcert: A PEM file of the certificates to trust; None uses Java's own.
    """

    target: DatabaseUrl
    classpath: str | None = None
    program: str = LIQUIBASE
    sslmode: str = SSLMODE
    sslrootcert: str | None = None

    def update(self) -> int:
        """Run the changesets that have not been run on the database."""
        return self._run("update")

    def update_sql(self) -> int:
        """Print the SQL of an update, and change nothing."""
        return self._run("update-sql")

    def rollback(self, count: int) -> int:
        """Undo the last `count` changesets; undoing a payment table drops its rows."""
        return self._run("rollback-count", f"--count={count}")

    def status(self) -> int:
        """List the changesets that have not been run on the database."""
        return self._run("status", "--verbose")

    def history(self) -> int:
        """List the changesets that were run, with their times."""
        return self._run("history")

    def clear_checksums(self) -> int:
        """Delete the checksums of run changesets; the next update computes new ones."""
        return self._run("clear-checksums")

    def release_locks(self) -> int:
        """Release the changelog's lock, whoever holds it."""
        return self._run("release-locks")

    def undo_plan(self, count: int) -> tuple[Undo, ...]:
        """What `rollback` would do, in its order.

        Raises:
            Unavailable: The database cannot be reached.
        """
        with self._session() as session:
            return undo_plan(session, count)

    def applied(self) -> dict[str, datetime]:
        """The ids of the changesets that were run, in order, each with its time.

        Raises:
            Unavailable: The database cannot be reached.
        """
        with self._session() as session:
            return applied_changesets(session)

    def lock_holder(self) -> str | None:
        """The holder of the changelog's lock, and the time since when; None if it is free.

        Raises:
            Unavailable: The database cannot be reached.
        """
        with self._session() as session:
            return changelog_lock(session)

    def validate(self) -> int:
        """Check the changelog, also against the changesets that were run."""
        return self._run("validate")

    def _session(self) -> AbstractContextManager[Administration]:
        return admin_connection(self.target, tls_context(self.sslmode, self.sslrootcert))

    def _run(self, *command: str) -> int:
        arguments = [*self._launcher(), *command]
        target, settings = self._find_host()
        with NamedTemporaryFile("w", suffix=".properties") as properties:
            properties.write(f"options={_options(settings)}\n")
            properties.flush()
            environment = self._environment(target) | {
                "LIQUIBASE_COMMAND_DRIVER_PROPERTIES_FILE": properties.name
            }
            # the operator's own settings name the program
            child = subprocess.Popen(  # noqa: S603
                arguments,
                env=environment,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="backslashreplace",
            )
            with child:
                for line in child.stderr or ():
                    print(line, end="", file=sys.stderr)
        return child.returncode

    def _launcher(self) -> list[str]:
        if self.classpath is not None:
            return [_java(), "-cp", _class_path(self.classpath), _MAIN_CLASS]
        if (program := shutil.which(self.program)) is not None:
            return [program]
        raise Misconfigured(
            f"the program {self.program!r} is not on the PATH: install Liquibase 4, or name a "
            "folder that holds the jars of liquibase-core, picocli and the PostgreSQL driver "
            "with their dependencies"
        )

    def _find_host(self) -> tuple[DatabaseUrl, Mapping[str, str]]:
        """The first host that accepts the session, and the session settings that it knows."""
        with self._session() as connection:
            if connection.pooled:
                raise Misconfigured(
                    f"there is a connection pooler at {connection.target.label}, and poolers do not"
                    " pass Liquibase's session settings on",
                    code="migrator-pooled",
                )
            return connection.target, connection.settings

    def _environment(self, target: DatabaseUrl) -> dict[str, str]:
        settings = {
            "LIQUIBASE_COMMAND_URL": target.jdbc(self._tls()),
            "LIQUIBASE_COMMAND_USERNAME": target.user,
            "LIQUIBASE_COMMAND_CHANGELOG_FILE": "root.yaml",
            "LIQUIBASE_SEARCH_PATH": str(changelog_folder()),
            "LIQUIBASE_LIQUIBASE_SCHEMA_NAME": "write",
            "LIQUIBASE_ANALYTICS_ENABLED": "false",
            "LIQUIBASE_SHOW_BANNER": "false",
        }
        if target.password is not None:
            settings["LIQUIBASE_COMMAND_PASSWORD"] = target.password
            if not target.password.isascii():
                settings["LC_ALL"] = "C.UTF-8"  # the encoding in which Java reads its environment
        return _UNLESS_SET | os.environ | settings

    def _tls(self) -> dict[str, str]:
        if self.sslmode != "verify-full":
            return {"sslmode": self.sslmode}
        trusted = {"sslrootcert": self.sslrootcert} if self.sslrootcert else _JAVA_DEFAULT_TRUST
        return {"sslmode": self.sslmode, **trusted}


def _options(settings: Mapping[str, str]) -> str:
    r"""Settings in the form of PostgreSQL's ``options``, escaped for a Java properties file.

    PostgreSQL needs a backslash before each space, and Java needs one more before that.
    """
    escaped = {name: value.replace(" ", r"\\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = (home and shutil.which("java", path=Path(home, "bin"))) or shutil.which("java")
    if java is None:
        raise Misconfigured(
            "Liquibase's class path is set, but java is not on the PATH: install a Java "
            "runtime, or set JAVA_HOME"
        )
    return java


def _class_path(setting: str) -> str:
    return f"{setting}{os.sep}*" if Path(setting).is_dir() else setting
