"""Liquibase as a child process: its own words and exit code, our changelog, no secret on view."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import NamedTemporaryFile

from attrs import frozen

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.inspection import changelog_lock
from voltpay_adapters.postgres.resources import changelog_folder
from voltpay_adapters.postgres.tls import tls_context
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

_JAVAS_OWN = {"sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory"}
_UNLESS_SET = {"LIQUIBASE_CHANGELOG_LOCK_WAIT_TIME_IN_MINUTES": "1"}
_MAIN_CLASS = "liquibase.integration.commandline.LiquibaseCommandLine"


@frozen
class Liquibase:
    """The changelog's way into one database.

    Each method runs Liquibase once, lets it write to this process's stdout and stderr, and returns
    its exit code: 0 when it did what was asked. Any ``LIQUIBASE_*`` variable of the environment
    that is not set here holds as Liquibase documents it.

    Attributes:
        target: The database, and the migrator to reach it by.
        classpath: A folder with the jars of Liquibase, picocli and the PostgreSQL driver, or a Java
            class path; run by the ``java`` of JAVA_HOME or PATH.
        program: The ``liquibase`` program, by path or by its name on PATH, where no class path is
            given.
        sslmode: ``disable``, ``require`` or ``verify-full``, as PostgreSQL means them.
        sslrootcert: The certificates to trust; Java's own where there are none.
    """

    target: DatabaseUrl
    classpath: str | None = None
    program: str = "liquibase"
    sslmode: str = "disable"
    sslrootcert: str | None = None

    def update(self) -> int:
        """Run the changesets that the database does not have yet."""
        return self._run("update")

    def rollback(self, count: int) -> int:
        """Undo the last `count` changesets; undoing the table of a payment drops its rows."""
        return self._run("rollback-count", f"--count={count}")

    def status(self) -> int:
        """Tell which changesets the database does not have yet."""
        return self._run("status", "--verbose")

    def history(self) -> int:
        """Tell which changesets were run, and when."""
        return self._run("history")

    def clear_checksums(self) -> int:
        """Forget the checksums of what was run; the next update computes them anew."""
        return self._run("clear-checksums")

    def release_locks(self) -> int:
        """Take the changelog's lock away from whoever holds it."""
        return self._run("release-locks")

    def lock_holder(self) -> str | None:
        """Who holds the changelog's lock, and since when; None where nobody does.

        Raises:
            Unavailable: The database cannot be reached.
        """
        with admin_connection(self.target, tls_context(self.sslmode, self.sslrootcert)) as asked:
            return changelog_lock(asked)

    def validate(self) -> int:
        """Check the changelog, also against what was run from it."""
        return self._run("validate")

    def _run(self, *command: str) -> int:
        arguments = [*self._launcher(), *command]
        target, settings = self._found()
        with NamedTemporaryFile("w", suffix=".properties") as properties:
            properties.write(f"options={_options(settings)}\n")
            properties.flush()
            environment = self._environment(target) | {
                "LIQUIBASE_COMMAND_DRIVER_PROPERTIES_FILE": properties.name
            }
            # the program is the one that the operator's own settings name
            child = subprocess.run(arguments, env=environment, check=False)  # noqa: S603
        return child.returncode

    def _launcher(self) -> list[str]:
        if self.classpath is not None:
            return [_java(), "-cp", _class_path(self.classpath), _MAIN_CLASS]
        if (program := shutil.which(self.program)) is not None:
            return [program]
        raise Misconfigured(
            f"there is no program {self.program!r} on the PATH: install Liquibase 4, or name a "
            "folder that holds the jars of liquibase-core, picocli and the PostgreSQL driver "
            "with what they need"
        )

    def _found(self) -> tuple[DatabaseUrl, Mapping[str, str]]:
        """The host that may be used, and what sessions of ours set, of what it knows."""
        with admin_connection(self.target, tls_context(self.sslmode, self.sslrootcert)) as asked:
            if asked.pooled:
                raise Misconfigured(
                    f"there is a connection pooler at {asked.target.label}, which does not pass"
                    " Liquibase's session settings on",
                    code="migrator-pooled",
                )
            return asked.target, asked.settings

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
                settings["LC_ALL"] = "C.UTF-8"  # by which Java reads its environment
        return _UNLESS_SET | os.environ | settings

    def _tls(self) -> dict[str, str]:
        if self.sslmode != "verify-full":
            return {"sslmode": self.sslmode}
        trusted = {"sslrootcert": self.sslrootcert} if self.sslrootcert else _JAVAS_OWN
        return {"sslmode": self.sslmode, **trusted}


def _options(settings: Mapping[str, str]) -> str:
    r"""Settings as PostgreSQL takes them at the start of a session, in a file of Java's properties.

    PostgreSQL wants a backslash before each space, and Java one more before that.
    """
    escaped = {name: value.replace(" ", r"\\ ") for name, value in settings.items()}
    return " ".join(f"-c {name}={value}" for name, value in escaped.items())


def _java() -> str:
    home = os.environ.get("JAVA_HOME")
    java = (home and shutil.which("java", path=Path(home, "bin"))) or shutil.which("java")
    if java is None:
        raise Misconfigured(
            "Liquibase's class path is set, but there is no java on the PATH: install a Java "
            "runtime, or set JAVA_HOME"
        )
    return java


def _class_path(setting: str) -> str:
    return f"{setting}{os.sep}*" if Path(setting).is_dir() else setting
