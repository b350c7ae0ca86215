"""A private Zipkin, which keeps the traces that are sent to it in memory."""

import json
import shutil
import signal
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from tests.harness.stack.places import THRIFTY, jars, java
from tests.harness.stack.processes import Process, Server, free_ports

_START_SECONDS = 120


class Zipkin(Server):
    """Zipkin on 127.0.0.1, with its log in a temporary folder that goes when it is closed."""

    def __init__(self) -> None:
        self._java, (self._jar,) = java(), jars("zipkin").glob("*.jar")
        (self._port,) = free_ports(1)
        self._process: Process | None = None
        self.folder = Path(tempfile.mkdtemp(prefix="voltpay-zipkin-"))

    @property
    def endpoint(self) -> str:
        """Where spans are sent in Zipkin's own format."""
        return f"http://127.0.0.1:{self._port}/api/v2/spans"

    def trace(self, trace_id: str) -> list[dict[str, Any]]:
        """The spans of a trace that have arrived; none if it is not known."""
        with suppress(URLError):
            return list(self._get(f"/api/v2/trace/{trace_id}"))
        return []

    def _open(self) -> None:
        command = (self._java, *THRIFTY, f"-DQUERY_PORT={self._port}", "-jar")
        self._process = Process("Zipkin", [*command, self._jar], log=self.folder / "log")
        self._process.wait_for(self._is_up, seconds=_START_SECONDS)

    def close(self) -> None:
        """End it, without ceremony, and remove its folder."""
        if self._process is not None:
            self._process.end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _is_up(self) -> bool:
        with suppress(OSError):
            return bool(self._get("/health")["status"] == "UP")
        return False

    def _get(self, path: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self._port}{path}", timeout=10) as response:
            return json.load(response)
