"""A private PostgreSQL server with pg_partman, and what tests ask of any PostgreSQL server."""

import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, Self
from urllib.parse import quote, unquote, urlsplit

from tests.harness.stack.places import postgres_programs
from tests.harness.stack.processes import Process, Server, StackError, free_ports

StopMode = Literal["smart", "fast", "immediate"]

_STOP_SIGNALS = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_SERVES = re.compile("ready to accept (read-only )?connections")
# commits must outlive a crash of the server all the same: synchronous_commit stays on
_NOT_DURABLE = {"fsync": "off", "full_page_writes": "off"}


class PostgresAddress:
    """A PostgreSQL server somewhere, seen by its superuser."""

    def __init__(self, host: str, port: int, superuser: str, password: str) -> None:
        self.host = host
        self.port = port
        self.superuser = superuser
        self.password = password

    @classmethod
    def from_url(cls, url: str) -> Self:
        """The server of a superuser's URL, postgresql://user[:password]@host[:port]/…."""
        parts = urlsplit(url)
        user, password = unquote(parts.username or "postgres"), unquote(parts.password or "")
        return cls(parts.hostname or "127.0.0.1", parts.port or 5432, user, password)

    def url(self, user: str, database: str, password: str | None = None) -> str:
        """The URL by which `user` reaches `database`."""
        secret = "" if password is None else f":{quote(password, safe='')}"
        return f"postgresql://{quote(user, safe='')}{secret}@{self.host}:{self.port}/{database}"

    def superuser_url(self, database: str = "postgres") -> str:
        """The URL by which the superuser reaches `database`, password included."""
        return self.url(self.superuser, database, self.password or None)

    def run_sql(self, sql: str, *, database: str = "postgres") -> str:
        """Run SQL as the superuser, by psql; rows come back a line each, columns parted by `|`.

        A failed statement raises a StackError with the server's message.
        """
        run = subprocess.run(
            [
                "psql",
                "-XqAt",
                "-v",
                "ON_ERROR_STOP=1",
                "-f",
                "-",
                self.url(self.superuser, database),
            ],
            env=os.environ | {"PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "10"},
            input=sql,
            capture_output=True,
            check=False,
            text=True,
        )
        if run.returncode:
            raise StackError(f"psql: {run.stderr.strip()}")
        return run.stdout.rstrip("\n")

    def create_database(self, name: str) -> None:
        """Make an empty database."""
        self.run_sql(f'CREATE DATABASE "{name}"')

    def drop_database(self, name: str) -> None:
        """Remove a database if it is there, and end the sessions that use it."""
        self.run_sql(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


class PostgresServer(Server, PostgresAddress):
    """A server of our own on 127.0.0.1, in a temporary folder that goes when it is closed.

    `durable=False` is faster and loses nothing while the machine is up. `tcp_auth="trust"` lets
    every role in without a password. `settings` are further lines of postgresql.conf.
    """

    def __init__(
        self,
        *,
        durable: bool = True,
        tcp_auth: Literal["scram-sha-256", "trust"] = "scram-sha-256",
        settings: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__("127.0.0.1", free_ports(1)[0], "postgres", secrets.token_urlsafe(16))
        self._programs = postgres_programs()
        self._tcp_auth = tcp_auth
        self._settings = ({} if durable else _NOT_DURABLE) | dict(settings or {})
        # the server refuses to run as root
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: Process | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="voltpay-postgres-"))

    def _open(self) -> None:
        """Make the cluster and start it."""
        self._own(self.folder)
        self._make_cluster()
        self.start()

    @property
    def log(self) -> Path:
        """The server's log."""
        return self.folder / "postgres.log"

    @property
    def pid(self) -> int:
        """The id of the running server's main process."""
        return self._running().pid

    @property
    def running(self) -> bool:
        """Whether the server has been started and not stopped since."""
        return self._process is not None

    def start(self, **settings: str) -> None:
        """Start the stopped server and wait until it serves, crash recovery included.

        A standby serves as soon as it can be read. `settings` hold until it is stopped.
        """
        given = [f"--{name}={value}" for name, value in settings.items()]
        process = Process(
            "PostgreSQL",
            [self._programs / "postgres", "-D", self._data, *given],
            log=self.log,
            user=self._user,
            death_signal="QUIT",  # the immediate stop: unlike SIGKILL, it leaves nothing behind
        )
        self._process = process
        process.wait_for(lambda: bool(_SERVES.search(process.printed())), seconds=60)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server; `immediate` is a crash, `smart` waits for every client to leave."""
        self._running().end(_STOP_SIGNALS[mode])
        self._process = None

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it again on the same port with the same data."""
        self.stop(mode)
        self.start()

    def follow(self, primary: "PostgresServer") -> None:
        """Make the stopped server a standby of another that has all its data."""
        conninfo = f"host={primary.host} port={primary.port} user={primary.superuser}"
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"primary_conninfo = '{conninfo} password={primary.password}'\n")
        (self._data / "standby.signal").touch()

    def promote(self) -> None:
        """Make a standby a primary; return when it is one."""
        command: list[str | Path] = [self._programs / "pg_ctl", "promote", "-D", self._data]
        log = self.folder / "promote.log"
        Process("pg_ctl", command, log=log, user=self._user).succeed(seconds=60)

    def close(self) -> None:
        """End the server, without ceremony, and remove its folder."""
        if self._process is not None:
            self.stop("immediate")
        shutil.rmtree(self.folder)

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    def _running(self) -> Process:
        if self._process is None:
            raise StackError("PostgreSQL is stopped")
        return self._process

    def _own(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user, self._user)

    def _make_cluster(self) -> None:
        password = self.folder / "password"
        password.write_text(self.password)
        self._own(password)
        initdb = Process(
            "initdb",
            [
                *(self._programs / "initdb", "-D", self._data, "-U", self.superuser),
                *("--pwfile", password, "--auth-local", "trust", "--auth-host", self._tcp_auth),
                *("--encoding", "UTF8", "--locale", "C", "--no-sync", "--no-instructions"),
            ],
            log=self.folder / "initdb.log",
            user=self._user,
        )
        initdb.succeed(seconds=60)
        self._configure()

    def _configure(self) -> None:
        settings = {
            "listen_addresses": self.host,
            "port": str(self.port),
            "unix_socket_directories": str(self.folder),
            "timezone": "UTC",
        } | self._settings
        with (self._data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())


class PostgresStandby(PostgresServer):
    """A hot standby of `primary`: all that is committed there is read here a little later."""

    def __init__(self, primary: PostgresServer) -> None:
        super().__init__()
        self.password = primary.password
        self._primary = primary

    def _make_cluster(self) -> None:
        backup = Process(
            "pg_basebackup",
            [
                *(self._programs / "pg_basebackup", "-D", self._data),
                *("-d", self._primary.superuser_url(), "--checkpoint=fast", "--no-sync"),
            ],
            log=self.folder / "backup.log",
            user=self._user,
        )
        backup.succeed(seconds=60)
        self._configure()
        self.follow(self._primary)
