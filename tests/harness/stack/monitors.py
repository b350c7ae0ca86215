"""Prometheus, Alertmanager and exporters, with the configurations of deploy/prometheus."""

import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import yaml
from attrs import frozen
from tests.harness.stack.places import ROOT, monitor
from tests.harness.stack.postgres import PostgresAddress
from tests.harness.stack.processes import Process, Server, free_ports

CONFIGURATIONS = ROOT / "deploy/prometheus"
HOST = "127.0.0.1"
_START_SECONDS = 60


@frozen
class Target:
    """What Prometheus reads, and the labels that it adds."""

    port: int
    labels: Mapping[str, str] = {}


class Monitor(Server):
    """A program of Prometheus that listens on 127.0.0.1; its folder goes when it is closed."""

    program: str
    flags: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    ready = "/-/ready"

    def __init__(self) -> None:
        self.port = free_ports(1)[0]
        self._path = monitor(self.program)
        self._process: Process | None = None
        self.folder = Path(tempfile.mkdtemp(prefix=f"voltpay-{self.program}-"))

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def get(self, path: str, **query: str) -> tuple[int, str]:
        """The status and the body of an answer."""
        with closing(HTTPConnection(HOST, self.port, timeout=30)) as connection:
            connection.request("GET", f"{path}?{urlencode(query)}" if query else path)
            answer = connection.getresponse()
            return answer.status, answer.read().decode()

    def close(self) -> None:
        """End it, without ceremony, and remove its folder."""
        if self._process is not None:
            self._process.end()
        shutil.rmtree(self.folder)

    def _open(self) -> None:
        command = [self._path, f"--web.listen-address={HOST}:{self.port}", *self.flags]
        self._process = Process(self.program, command, log=self.folder / "log", env=self.env)
        self._process.wait_for(self._is_ready, seconds=_START_SECONDS)

    def _is_ready(self) -> bool:
        try:
            return self.get(self.ready)[0] == 200
        except OSError:
            return False


class Prometheus(Monitor):
    """Prometheus with the project's rules.

    Attributes:
        targets: What each job of deploy/prometheus/prometheus.yml reads.
        paced: Changes the durations in the text of a file.
    """

    program = "prometheus"

    def __init__(
        self,
        targets: Mapping[str, Sequence[Target]],
        alertmanagers: Iterable[int] = (),
        paced: Callable[[str], str] = str,
    ) -> None:
        super().__init__()
        self.flags = [
            f"--config.file={self.folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            "--log.level=warn",
        ]
        (self.folder / "rules.yml").write_text(paced(_read("rules.yml")), "utf-8")
        configuration = yaml.safe_load(paced(_read("prometheus.yml")))
        for job in configuration["scrape_configs"]:
            job["static_configs"] = [
                {"targets": [f"{HOST}:{target.port}"], "labels": dict(target.labels)}
                for target in targets.get(job["job_name"], ())
            ]
        (alerting,) = configuration["alerting"]["alertmanagers"]
        alerting["static_configs"] = [{"targets": [f"{HOST}:{port}"]} for port in alertmanagers]
        (self.folder / "prometheus.yml").write_text(yaml.safe_dump(configuration), "utf-8")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """The series of an instant query, each with `metric` and `value`."""
        status, body = self.get("/api/v1/query", query=expression)
        assert status == 200, f"{expression}: {body}"
        found: list[dict[str, Any]] = json.loads(body)["data"]["result"]
        return found

    def names(self) -> set[str]:
        """The names of all metrics that it has."""
        return set(json.loads(self.get("/api/v1/label/__name__/values")[1])["data"])


class Alertmanager(Monitor):
    """Alertmanager with the project's routes, which sends everything on at once.

    Attributes:
        receiver: The port at which the receivers of deploy/prometheus/alertmanager.yml are.
    """

    program = "alertmanager"

    def __init__(self, receiver: int) -> None:
        super().__init__()
        self.flags = [
            f"--config.file={self.folder / 'alertmanager.yml'}",
            f"--storage.path={self.folder / 'data'}",
            "--cluster.listen-address=",
            "--log.level=warn",
        ]
        configuration = yaml.safe_load(_read("alertmanager.yml"))
        configuration["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        for named in configuration["receivers"]:
            (webhook,) = named["webhook_configs"]
            webhook["url"] = f"http://{HOST}:{receiver}/{named['name']}"
        (self.folder / "alertmanager.yml").write_text(yaml.safe_dump(configuration), "utf-8")


class NodeExporter(Monitor):
    """The exporter of this machine; `procfs` stands for /proc."""

    program = "node_exporter"
    ready = "/"

    def __init__(self, procfs: Path = Path("/proc")) -> None:
        super().__init__()
        self.flags = [f"--path.procfs={procfs}", "--log.level=warn"]


class PostgresExporter(Monitor):
    """The exporter of a server."""

    program = "postgres_exporter"
    ready = "/"

    def __init__(self, server: PostgresAddress) -> None:
        super().__init__()
        self.flags = ["--log.level=warn"]
        self.env = {"DATA_SOURCE_NAME": f"{server.superuser_url()}?sslmode=disable"}


def _read(name: str) -> str:
    return (CONFIGURATIONS / name).read_text("utf-8")
