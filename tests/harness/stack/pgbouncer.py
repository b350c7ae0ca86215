"""A private PgBouncer in front of a PostgreSQL server."""

import os
import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.harness.stack.places import pgbouncer
from tests.harness.stack.postgres import PostgresAddress
from tests.harness.stack.processes import Process, Server, free_ports


class PgBouncer(Server, PostgresAddress):
    """A pooler of our own on 127.0.0.1, in a temporary folder that goes when it is closed.

    It lets everybody in who is in `passwords`, without asking, and reaches the server by theirs.
    `settings` are further lines of pgbouncer.ini.
    """

    def __init__(
        self,
        server: PostgresAddress,
        passwords: Mapping[str, str],
        pool_mode: str,
        **settings: str | int,
    ) -> None:
        super().__init__("127.0.0.1", free_ports(1)[0], server.superuser, server.password)
        self._program = pgbouncer()
        self._passwords = {server.superuser: server.password} | dict(passwords)
        self._settings = {
            "listen_addr": self.host,
            "listen_port": self.port,
            "unix_socket_dir": "",
            "auth_type": "trust",
            "auth_file": "users",
            "pool_mode": pool_mode,
        } | settings
        self._server = server
        # it refuses to run as root
        self._user = "postgres" if os.geteuid() == 0 else None
        self._process: Process | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="voltpay-pgbouncer-"))

    def _open(self) -> None:
        """Write its files and start it."""
        self._configure()
        self._start()

    def close(self) -> None:
        """End it, without ceremony, and remove its folder."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _configure(self) -> None:
        users = (f'"{name}" "{secret}"\n' for name, secret in self._passwords.items())
        (self.folder / "users").write_text("".join(users))
        (self.folder / "pgbouncer.ini").write_text(
            f"[databases]\n* = host={self._server.host} port={self._server.port}\n[pgbouncer]\n"
            + "".join(f"{name} = {value}\n" for name, value in self._settings.items())
        )
        if self._user is not None:
            for path in (self.folder, *self.folder.iterdir()):
                shutil.chown(path, self._user, self._user)

    def _start(self) -> None:
        process = Process(
            "PgBouncer",
            [self._program, "pgbouncer.ini"],
            log=self.folder / "pgbouncer.log",
            user=self._user,
        )
        self._process = process
        process.wait_for(lambda: "process up" in process.printed(), seconds=30)
