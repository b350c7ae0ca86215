"""Every alert is made true on real servers, delivered by Alertmanager, and resolved.

Each deployment has a trouble of its own, all at the same time, and one has none. Durations of the
rules are shortened as `PACE` says; expressions and thresholds stay.
"""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from attrs import define, evolve, field
from kafka import KafkaProducer
from tests.harness.cli import voltpay
from tests.harness.databases import bootstrapped, connected, migrated
from tests.harness.deployment import PATIENCE, Deployment, Program, eventually
from tests.harness.proxy import Proxy
from tests.harness.receiver import Receiver, receiving
from tests.harness.rules import ALERTS, RECORDED, metrics, panels, queries
from tests.harness.stack.available import available
from tests.harness.stack.kafka import KafkaCluster
from tests.harness.stack.monitors import (
    HOST,
    Alertmanager,
    NodeExporter,
    PostgresExporter,
    Prometheus,
    Target,
)
from tests.harness.stack.postgres import PostgresServer
from tests.harness.stack.processes import free_ports

from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec
from voltpay_core.records import ProducerRecord

PACE = {
    "15s": "1s",
    "1m": "5s",
    "2m": "12s",
    "5m": "14s",
    "6m": "16s",
    "10m": "30s",
    "15m": "31s",
    "1h": "32s",
    "12h": "33s",
    "1w": "45s",
}
"""What the durations of rules and intervals are here: shorter, and in the same order."""

SOON = {
    "kafka.options.session_timeout_ms": "3000",
    "kafka.options.heartbeat_interval_ms": "500",
    "kafka.options.reconnect_backoff_max_ms": "1000",
}
PARTITIONS = 4
TICK = 0.5
"""Seconds between two batches of new records."""
WEEK = 45.0
HEAVY = """
ballast = bytes(230_000_000).replace(b'\\0', b'x')
from voltpay_cli.__main__ import main
main()
"""
REJECTED_ACCOUNT = 77
REJECT = f"""
CREATE FUNCTION write.reject() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not this account'; END $$;
CREATE TRIGGER reject BEFORE INSERT ON write.payment_core
FOR EACH ROW WHEN (NEW.account_id = {REJECTED_ACCOUNT}) EXECUTE FUNCTION write.reject();
"""
LAST_MONTH = """
SELECT max(inhrelid::regclass::text) FROM pg_inherits
WHERE inhparent = 'write.payment_notes'::regclass
"""

EXPECTED = {
    "VoltpayNoWriter": "stopped",
    "VoltpayOutage": "away",
    "VoltpayNoThroughput": "locked",
    "VoltpayUnownedPartitions": "stopped",
    "VoltpayPartitionWithoutProgress": "poisoned",
    "VoltpayOutboxNotDrained": "poisoned",
    "VoltpayRestartLoop": "restless",
    "VoltpayBreakerNear": "poisoned",
    "VoltpayErrorRate": "poisoned",
    "VoltpayDatabaseRejects": "poisoned",
    "VoltpayLagGrows": "locked",
    "VoltpayLatency": "slow",
    "VoltpayLowThroughput": "locked",
    "VoltpayTakeOverStorm": "restless",
    "VoltpayNoObserver": "restless",
    "VoltpayCheckFails": "poisoned",
    "VoltpayMonthsAhead": "poisoned",
    "VoltpaySlowDatabase": "slow",
    "VoltpayIdleTransaction": "shared",
    "VoltpayMemory": "away",
    "VoltpayOutOfMemory": "shared",
}
"""The namespace in which each alert is made true."""
HEALTHY, SHARED = "healthy", "shared"


def paced(text: str) -> str:
    """A configuration with shorter durations."""
    return re.sub(r"(?<=[\[ ])\d+[smhdw](?=[\] )\n])", lambda found: PACE[found[0]], text)


@define(eq=False)
class Site:
    """A deployment that Prometheus knows by a namespace, and the load on it.

    Attributes:
        each_tick: New records of a tick.
    """

    namespace: str
    deployment: Deployment
    proxy: Proxy
    each_tick: int = 3
    port: int = field(init=False)
    observer_port: int = field(init=False)
    writer: Program = field(init=False)
    observer: Program = field(init=False)
    records: Iterator[ProducerRecord] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.port, self.observer_port = free_ports(2)
        self.load(Mix(accounts=50))

    def load(self, mix: Mix) -> None:
        """Let the next records be of this mix."""
        self.records = samples(Codec(self.deployment.topics), 10**9, 1, mix)

    def start_writer(self, **given: Any) -> None:
        at = f"{HOST}:{self.port}"
        url = self.deployment.database.writer
        through = re.sub(r":\d+/", f":{self.proxy.port}/", url)
        self.writer = self.deployment.start(
            "consume",
            "--listen",
            at,
            store=through,
            **given,
        )

    def start_observer(self) -> None:
        at = f"{HOST}:{self.observer_port}"
        self.observer = self.deployment.start("observe", "--listen", at, "--every", "2")

    def take_overs(self) -> int:
        return self.writer.printed().count("took over")

    def has_taken_over(self, before: int = 0) -> bool:
        return self.take_overs() > before

    def targets(self) -> dict[str, Target]:
        labels = {"namespace": self.namespace}
        return {
            "voltpay-writer": Target(self.port, labels),
            "voltpay-observer": Target(self.observer_port, labels),
        }


@define(eq=False)
class World:
    """Everything that runs.

    Attributes:
        healed: Set when troubles shall end.
    """

    sites: Mapping[str, Site]
    publisher: KafkaPublisher
    prometheus: Prometheus
    receiver: Receiver
    vmstat: Path
    started: Event = field(factory=Event)
    healed: Event = field(factory=Event)
    ended: Event = field(factory=Event)

    def load(self) -> None:
        """Keep records coming until the end."""
        while not self.ended.wait(TICK):
            sites = self.sites.values()
            batch = [record for site in sites for record in islice(site.records, site.each_tick)]
            self.publisher.publish(batch).wait()

    def firing(self, alert: str) -> bool:
        """Whether an alert was delivered where it is expected, and is not over."""
        notified = self.receiver.of(alert, EXPECTED[alert])
        return any(each.status == "firing" for each in notified)


def poison(world: World, site: Site) -> None:
    """Bad messages, a rejecting trigger, an open transaction, a missing month, a forgotten row."""
    deployment = site.deployment
    producer = KafkaProducer(
        bootstrap_servers=deployment.kafka.bootstrap,
        transactional_id=f"open-{deployment.token}",
        transaction_timeout_ms=600_000,
    )
    with closing(producer):
        producer.init_transactions()
        producer.begin_transaction()
        producer.send(deployment.topics.writer, b"{}", partition=1).get(PATIENCE)
        site.load(Mix(accounts=50, poison=0.2))
        deployment.rows(REJECT)
        ((month,),) = deployment.rows(LAST_MONTH)
        deployment.rows(f"DROP TABLE {month}")
        deployment.rows(
            "INSERT INTO write.outbox (topic, partition, payload, created_at)"
            " VALUES ('elsewhere', 0, '', now() - interval '1 hour')"
        )
        codec = Codec(deployment.topics)
        good = next(samples(codec, 1, 1))
        world.publisher.publish(
            [_of_account(good, REJECTED_ACCOUNT, number) for number in range(12)]
        ).wait()
        world.healed.wait()
        site.load(Mix(accounts=50))
        producer.abort_transaction()
    deployment.rows("DELETE FROM write.outbox WHERE topic = 'elsewhere'")
    deployment.run("db", "maintain", database__migrator=deployment.database.migrator)


def _of_account(record: ProducerRecord, account: int, number: int) -> ProducerRecord:
    value = re.sub(rb'"accountId":\d+', b'"accountId":%d' % account, record.value or b"")
    value = re.sub(rb'"messageId":"[^"]+"', b'"messageId":"rejected-%d"' % number, value)
    return evolve(record, key=b"%d" % account, value=value, partition=0)


def lock(world: World, site: Site) -> None:
    """A session that holds a lock on a table and does nothing; the writer waits for it."""
    world.healed.wait(WEEK)
    with connected(site.deployment.database.superuser) as session:
        session.run("BEGIN")
        session.run("LOCK TABLE write.payment_core IN SHARE ROW EXCLUSIVE MODE")
        world.healed.wait()
        session.run("ROLLBACK")


def stop(world: World, site: Site) -> None:
    """A suspended writer."""
    site.writer.send(signal.SIGSTOP)
    world.healed.wait()
    site.writer.send(signal.SIGCONT)


def send_away(world: World, site: Site) -> None:
    """A database that cannot be reached, and a writer that needs too much memory."""
    site.proxy.refuse()
    world.healed.wait()
    site.proxy.go_on()
    site.writer.end()
    site.start_writer()


def slow_down(world: World, site: Site) -> None:
    """Each message to the database takes its time, and many records wait."""
    world.publisher.publish(list(islice(site.records, 1500))).wait()
    site.proxy.swallow = lambda _: world.healed.wait(0.4) and False
    world.healed.wait()


def disturb(world: World, site: Site) -> None:
    """Sessions are terminated again and again, then the writer is killed again and again."""
    while not world.firing("VoltpayTakeOverStorm") and not world.healed.is_set():
        before = site.take_overs()
        site.deployment.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE usename = 'voltpay_writer' AND datname = current_database()"
        )
        eventually(partial(site.has_taken_over, before))
    while not world.firing("VoltpayRestartLoop") and not world.healed.is_set():
        known = {None, _start_time(world, site)}
        site.writer.end()
        site.start_writer()
        eventually(partial(_start_time_is_new, world, site, known))
    world.healed.wait()
    site.start_observer()


def _start_time_is_new(world: World, site: Site, known: set[str | None]) -> bool:
    return _start_time(world, site) not in known


def _start_time(world: World, site: Site) -> str | None:
    labels = f'job="voltpay-writer",namespace="{site.namespace}"'
    found = world.prometheus.query(f"process_start_time_seconds{{{labels}}}")
    return found[0]["value"][1] if found else None


def kill_for_memory(world: World, _: Site) -> None:
    """The kernel's counter of processes that it killed for want of memory."""
    lines = Path("/proc/vmstat").read_text("utf-8").splitlines()
    text = "\n".join("oom_kill 1000000" if line.startswith("oom_kill ") else line for line in lines)
    world.vmstat.write_text(f"{text}\n", "utf-8")


TROUBLES: dict[str, Callable[[World, Site], None]] = {
    "poisoned": poison,
    "locked": lock,
    "stopped": stop,
    "away": send_away,
    "slow": slow_down,
    "restless": disturb,
    HEALTHY: kill_for_memory,
}
WITHOUT_OBSERVER = {"slow", "restless"}
EACH_TICK = {HEALTHY: 20, "locked": 10, "slow": 0}
PATIENT = {"database__lock_seconds": 600, "database__statement_seconds": 600}
STARTED: dict[str, dict[str, Any]] = {
    "locked": PATIENT,
    "away": {"program": (sys.executable, "-c", HEAVY)},
}


@contextmanager
def procfs(folder: Path) -> Iterator[Path]:
    """/proc as the node exporter sees it, with a vmstat of our own."""
    for path in Path("/proc").iterdir():
        if path.name in {"1", "self"} or not path.name.isdigit():
            (folder / path.name).symlink_to(path)
    (folder / "vmstat").unlink()
    (folder / "vmstat").write_text(Path("/proc/vmstat").read_text("utf-8"), "utf-8")
    yield folder


@pytest.fixture(scope="module")
def world(
    kafka_cluster: KafkaCluster,
    postgres_server: PostgresServer,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[World]:
    with ExitStack() as stack:
        enter = stack.enter_context
        template = enter(migrated(postgres_server))
        sites = {}
        for name in TROUBLES:
            database = enter(bootstrapped(postgres_server, template))
            folder = tmp_path_factory.mktemp(name)
            deployment = enter(
                closing(Deployment(kafka_cluster, database, folder, PARTITIONS, settings=SOON))
            )
            proxy = enter(Proxy((postgres_server.host, postgres_server.port)))
            sites[name] = Site(name, deployment, proxy, EACH_TICK.get(name, 3))
        for site in sites.values():
            prepare(site)
        proc = enter(procfs(tmp_path_factory.mktemp("proc")))
        receiver = enter(receiving())
        shared = {"namespace": SHARED}
        exporters = {
            "node": enter(available(lambda: NodeExporter(proc))),
            "postgresql": enter(available(lambda: PostgresExporter(postgres_server))),
        }
        alertmanager = enter(available(lambda: Alertmanager(receiver.port)))
        targets = {job: [Target(exporter.port, shared)] for job, exporter in exporters.items()}
        for site in sites.values():
            for job, target in site.targets().items():
                if job != "voltpay-observer" or site.namespace != "slow":
                    targets.setdefault(job, []).append(target)
        for site in sites.values():
            eventually(site.has_taken_over)
        prometheus = enter(available(lambda: Prometheus(targets, [alertmanager.port], paced)))
        known = sum(map(len, targets.values()))
        eventually(lambda: len(prometheus.query("rate(scrape_duration_seconds[4s])")) == known)
        publisher = enter(
            closing(
                KafkaPublisher(
                    sites[HEALTHY].deployment.connection,
                    lambda: PARTITIONS,
                    ack_timeout=PATIENCE,
                )
            )
        )
        world = World(sites, publisher, prometheus, receiver, proc / "vmstat")
        with ThreadPoolExecutor(len(sites) + 1) as pool:
            running = [pool.submit(world.load)]
            running += [
                pool.submit(TROUBLES[site.namespace], world, site) for site in sites.values()
            ]
            try:
                yield world
            finally:
                world.healed.set()
                world.ended.set()
        for each in running:
            each.result()


def prepare(site: Site) -> None:
    """Make the topics as the program does, and start the programs."""
    deployment = site.deployment
    deployment.write_settings()
    made = partial(voltpay, "topics", "create", "--config", str(deployment.folder / "voltpay.toml"))
    eventually(lambda: made().exit_code == 0)
    site.start_writer(**STARTED.get(site.namespace, {}))
    if site.namespace not in WITHOUT_OBSERVER:
        site.start_observer()


def test_every_alert_has_its_trouble() -> None:
    """Each alert is made true here."""
    assert EXPECTED.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", EXPECTED)
def test_an_alert_is_delivered(world: World, alert: str) -> None:
    """Alertmanager notifies the receiver of its severity, with all annotations filled in."""
    eventually(lambda: world.receiver.of(alert, EXPECTED[alert]))
    notified = world.receiver.of(alert, EXPECTED[alert])[0]
    rule = ALERTS[alert]
    receivers = {"critical": "pager", "warning": "chat"}
    assert notified.receiver == receivers[rule["labels"]["severity"]]
    assert notified.annotations["runbook_url"] == rule["annotations"]["runbook_url"]
    summary = notified.annotations["summary"]
    assert summary
    assert not set("{}<>") & set(summary), summary


def test_a_standstill_keeps_back_what_follows_from_it(world: World) -> None:
    """In an outage the lag grows, and nobody is told of it a second time."""
    growing = 'ALERTS{alertname="VoltpayLagGrows",namespace="away",alertstate="firing"}'
    eventually(lambda: world.prometheus.query(growing))
    assert world.receiver.of("VoltpayLagGrows", "away") == []


@pytest.mark.parametrize("record", RECORDED)
def test_a_recorded_rule_has_data(world: World, record: str) -> None:
    """Under load each recorded series has a value."""
    found = world.prometheus.query(f'{record}{{namespace="{HEALTHY}"}}')
    assert found
    assert all(float(series["value"][1]) >= 0 for series in found)


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=name) for name, panel in panels() for query in queries(panel)]
)
def test_a_panel_has_data(world: World, query: str) -> None:
    """Under load each query of each panel has an answer."""
    asked = query.replace("$namespace", HEALTHY).replace("$__rate_interval", PACE["5m"])
    eventually(lambda: world.prometheus.query(paced(f"{asked}\n")))


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_asks_for_what_exists(world: World, alert: str) -> None:
    """Each metric that an alert names is there, except those of Kubernetes."""
    named = metrics(ALERTS[alert]["expr"])
    assert {name for name in named if not name.startswith("kube_")} <= world.prometheus.names()


@pytest.fixture(scope="module")
def healed(world: World) -> World:
    world.healed.set()
    return world


@pytest.mark.parametrize("alert", EXPECTED)
def test_an_alert_resolves(healed: World, alert: str) -> None:
    """When its cause is gone, Alertmanager says that it is over."""
    eventually(lambda: not healed.firing(alert))


def test_nothing_rings_where_all_is_well(world: World) -> None:
    """A deployment under load, beside all those in trouble, has had no alert."""
    found = [n for n in world.receiver.notified if n.labels.get("namespace") == HEALTHY]
    assert found == []
