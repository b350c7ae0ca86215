"""A private Kafka cluster of two brokers, and what tests ask of any Kafka cluster."""

import base64
import shutil
import signal
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Self

from kafka import KafkaAdminClient
from tests.harness.stack.places import THRIFTY, jars, java
from tests.harness.stack.processes import Process, Server, free_ports

BROKERS = (1, 2)
_CONTROLLER = 3
_START_SECONDS = 90
_PROPERTIES = {
    "auto.create.topics.enable": "false",
    "broker.heartbeat.interval.ms": "500",
    "broker.session.timeout.ms": "3000",  # a restarted broker has to wait for it too
    "default.replication.factor": "2",
    "group.initial.rebalance.delay.ms": "0",
    "log.cleaner.dedupe.buffer.size": "8388608",  # the default takes a quarter of our heap
    # reading ahead, the kernel fills the whole index of a new segment with zeros: 10 MiB by default
    "log.index.size.max.bytes": "65536",
    "log.retention.ms": "-1",  # tests keep records with timestamps of years ago
    "min.insync.replicas": "2",
    "offsets.topic.num.partitions": "4",
    "offsets.topic.replication.factor": "2",
    "share.coordinator.state.topic.num.partitions": "1",
    "share.coordinator.state.topic.replication.factor": "2",
    "transaction.state.log.min.isr": "2",
    "transaction.state.log.num.partitions": "4",
    "transaction.state.log.replication.factor": "2",
}


class KafkaAddress:
    """A Kafka cluster somewhere; `bootstrap` is `host:port[,host:port]`."""

    def __init__(self, bootstrap: str) -> None:
        self.bootstrap = bootstrap

    @property
    def url(self) -> str:
        """The cluster as the settings of the writer name it."""
        return f"kafka://{self.bootstrap}"


class KafkaCluster(Server, KafkaAddress):
    """Brokers 1 and 2 and a controller on 127.0.0.1, in a temporary folder that goes on closing.

    With one broker gone the other goes on, but holds back what asks for acks=all. `properties` are
    further server properties, for all three processes. `listeners` names what brokers listen on
    besides PLAINTEXT, SASL_SSL for example; `bootstrap_by` tells their addresses. `heap` is a
    broker's, as Java writes it. `thrifty` brokers start sooner and are slower under load.
    """

    def __init__(
        self,
        properties: Mapping[str, str] | None = None,
        *,
        listeners: Sequence[str] = (),
        heap: str = "512m",
        thrifty: bool = False,
    ) -> None:
        self._java, self._jars = java(), jars("kafka")
        self._broker_java = (f"-Xmx{heap}", *(THRIFTY if thrifty else ()))
        self._properties = _PROPERTIES | dict(properties or {})
        names = ("PLAINTEXT", *listeners)
        self._controller_port, *ports = free_ports(1 + len(BROKERS) * len(names))
        self._ports = {name: {broker: ports.pop() for broker in BROKERS} for name in names}
        self._cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        self._processes: dict[int, Process] = {}
        super().__init__(self.bootstrap_by("PLAINTEXT"))
        self.folder = Path(tempfile.mkdtemp(prefix="voltpay-kafka-"))

    @classmethod
    def for_tests(cls) -> Self:
        """One that gives up members after a second of silence already, and can forbid things."""
        properties = {
            "allow.everyone.if.no.acl.found": "true",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "group.min.session.timeout.ms": "1000",
        }
        return cls(properties, thrifty=True)

    def _open(self) -> None:
        """Make the cluster and start it."""
        for broker in BROKERS:
            self._format_broker(broker)
            self._launch(broker)
        self._format_controller()
        self._launch(_CONTROLLER)
        for broker in BROKERS:
            self._wait_until_serving(broker)

    def bootstrap_by(self, listener: str) -> str:
        """The addresses of both brokers for clients of one listener."""
        return ",".join(f"127.0.0.1:{port}" for port in self._ports[listener].values())

    def log(self, node: int) -> Path:
        """The log of broker 1 or 2, or of the controller, which is 3."""
        return self.folder / f"{node}.log"

    def pids(self) -> list[int]:
        """The ids of all processes that have not been stopped."""
        return [process.pid for process in self._processes.values()]

    def stop_broker(self, broker: int) -> None:
        """Stop a broker in good order: it hands over its partitions first (SIGTERM)."""
        self._processes.pop(broker).end(signal.SIGTERM)

    def kill_broker(self, broker: int) -> None:
        """Let a broker die at once (SIGKILL); the cluster notices after 3 seconds."""
        self._processes.pop(broker).end(signal.SIGKILL)

    def crash_brokers(self) -> None:
        """Let all brokers die at once and start again together; return when they serve."""
        for broker in BROKERS:
            self.kill_broker(broker)
        with ThreadPoolExecutor() as together:
            list(together.map(self.start_broker, BROKERS))

    def suspend_broker(self, broker: int) -> None:
        """Freeze a broker: its connections stay open and nothing answers (SIGSTOP)."""
        self._processes[broker].suspend()

    def resume_broker(self, broker: int) -> None:
        """Let a frozen broker go on (SIGCONT)."""
        self._processes[broker].send(signal.SIGCONT)

    def start_broker(self, broker: int) -> None:
        """Start a stopped broker; return when it serves and its replicas are in sync."""
        self._launch(broker)
        self._wait_until_serving(broker)
        self.wait_until_in_sync(broker)

    def wait_until_in_sync(self, broker: int) -> None:
        """Return when a running broker is among the in-sync replicas wherever it has one."""
        admin = KafkaAdminClient(bootstrap_servers=self.bootstrap)
        try:
            self._processes[broker].wait_for(
                lambda: _is_in_sync(admin, broker), seconds=_START_SECONDS
            )
        finally:
            admin.close()

    def close(self) -> None:
        """End all processes, without ceremony, and remove the cluster's folder."""
        while self._processes:
            self._processes.popitem()[1].end(signal.SIGKILL)
        shutil.rmtree(self.folder)

    def _wait_until_serving(self, broker: int) -> None:
        process = self._processes[broker]
        process.wait_for(
            lambda: "Kafka Server started" in process.printed(), seconds=_START_SECONDS
        )

    def _launch(self, node: int) -> None:
        self._processes[node] = Process(
            "Kafka's controller" if node == _CONTROLLER else f"Kafka's broker {node}",
            [*self._java_command(node), "kafka.Kafka", self._write_properties(node)],
            log=self.log(node),
        )

    def _java_command(self, node: int) -> list[str | Path]:
        return [
            self._java,
            *(("-Xmx128m", *THRIFTY) if node == _CONTROLLER else self._broker_java),
            "-Djava.awt.headless=true",
            "-Dorg.slf4j.simpleLogger.showDateTime=true",
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
            "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.common.config=warn",
            *("-cp", f"{self._jars}/*"),
        ]

    def _write_properties(self, node: int) -> Path:
        properties = self._properties | {
            "controller.listener.names": "CONTROLLER",
            "controller.quorum.voters": f"{_CONTROLLER}@127.0.0.1:{self._controller_port}",
            "log.dirs": str(self._data(node)),
            "node.id": str(node),
        }
        if node == _CONTROLLER:
            properties["process.roles"] = "controller"
            properties["listeners"] = f"CONTROLLER://127.0.0.1:{self._controller_port}"
        else:
            properties["process.roles"] = "broker"
            properties["listeners"] = ",".join(
                f"{name}://127.0.0.1:{ports[node]}" for name, ports in self._ports.items()
            )
        return _write_properties(self.folder / f"{node}.properties", properties)

    def _data(self, node: int) -> Path:
        return self.folder / f"{node}"

    def _format_broker(self, broker: int) -> None:
        # what Kafka's own tool would write, without the second that it takes to start
        self._data(broker).mkdir()
        _write_properties(
            self._data(broker) / "meta.properties",
            {"version": "1", "cluster.id": self._cluster_id, "node.id": str(broker)},
        )

    def _format_controller(self) -> None:
        properties = self._write_properties(_CONTROLLER)
        Process(
            "Kafka's format",
            [
                *self._java_command(_CONTROLLER),
                *("kafka.tools.StorageTool", "format"),
                *(f"--cluster-id={self._cluster_id}", "-c", properties),
            ],
            log=self.folder / "format.log",
        ).succeed(seconds=_START_SECONDS)


def _write_properties(path: Path, properties: Mapping[str, str]) -> Path:
    path.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
    return path


def _is_in_sync(admin: KafkaAdminClient, broker: int) -> bool:
    return all(
        broker in partition["isr_nodes"]
        for topic in admin.describe_topics()
        for partition in topic["partitions"]
        if broker in partition["replica_nodes"]
    )
