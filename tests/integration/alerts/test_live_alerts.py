"""Every alert is made true on real servers, delivered by Alertmanager, and resolved.

Each deployment has a trouble of its own, all at the same time, and one has none. Durations of the
rules are shortened as `PACE` says; expressions and thresholds stay. So two alerts take more than a
minute: a record must be so old, a transaction so long.
"""

from __future__ import annotations

import re
import signal
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
from tests.harness.receiver import Notified, Receiver, receiving
from tests.harness.rules import ALERTS, RECORDED, metrics, operands, panels, queries
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
    "15s": "3s",
    "1m": "5s",
    "2m": "18s",
    "5m": "20s",
    "6m": "31s",
    "10m": "32s",
    "15m": "60s",
    "1h": "33s",
    "12h": "34s",
    "1w": "45s",
}
"""What the durations of rules and intervals are here.

On a busy machine, 2m and 5m hold several looks of an observer, and one lies between 5m and 6m. In
10m there is time for eleven take-overs, and in 15m to start a writer three times.
"""

BROKERS = {
    "broker.heartbeat.interval.ms": "2000",
    "broker.session.timeout.ms": "30000",
    "controller.quorum.request.timeout.ms": "10000",
    "group.min.session.timeout.ms": "1000",
}
"""No broker is given up on a busy machine; its registration may take as long as the interval."""
SOON = {
    "kafka.options.session_timeout_ms": "3000",
    "kafka.options.heartbeat_interval_ms": "500",
}
"""For a group that shall miss a suspended member soon."""
PARTITIONS = 2
TICK = 2.0
"""Seconds between two batches of new records, in which even a busy writer finishes the first."""
RECOVERED = "the outage ended"
EVERY = "5"
"""Seconds between two looks of an observer."""
HEAVY = """
ballast = b"x" * 230_000_000
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
    "VoltpayRestartLoop": "stopped",
    "VoltpayBreakerNear": "poisoned",
    "VoltpayErrorRate": "poisoned",
    "VoltpayDatabaseRejects": "poisoned",
    "VoltpayLagGrows": "locked",
    "VoltpayLatency": "slow",
    "VoltpayLowThroughput": "locked",
    "VoltpayTakeOverStorm": "stopped",
    "VoltpayNoObserver": "slow",
    "VoltpayCheckFails": "poisoned",
    "VoltpayMonthsAhead": "poisoned",
    "VoltpaySlowDatabase": "slow",
    "VoltpayIdleTransaction": "shared",
    "VoltpayMemory": "away",
    "VoltpayOutOfMemory": "shared",
}
"""The namespace in which each alert is made true."""
HEALTHY, SHARED = "healthy", "shared"
BUSY_BEFORE = 'namespace:voltpay_group_offset:rate1h{namespace="locked"} offset 5m > 0.1'
MANY_REJECTED = 'max_over_time(voltpay_breaker_refusals{namespace="poisoned"}[5m]) > 10'


def paced(text: str) -> str:
    """A configuration with shorter durations."""
    return re.sub(r"(?<=[\[ ])\d+[smhdw](?=[\] )\n]|$)", lambda found: PACE[found[0]], text)


@define(eq=False)
class Site:
    """A deployment that Prometheus knows by a namespace, and the load on it.

    Attributes:
        each_tick: New records of a tick.
    """

    namespace: str
    deployment: Deployment
    proxy: Proxy
    each_tick: int = 10
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
        self.observer = self.deployment.start("observe", "--listen", at, "--every", EVERY)

    def has_logged(self, event: str, before: int = 0) -> bool:
        """Whether the writer has logged an event more often than before."""
        return self.writer.printed().count(event) > before

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
        running: The load and the troubles, each in a thread.
        healed: Set when troubles shall end.
        deadline: When every alert must have been delivered, by the monotonic clock.
    """

    sites: Mapping[str, Site]
    publisher: KafkaPublisher
    prometheus: Prometheus
    receiver: Receiver
    vmstat: Path
    running: list[Future[None]]
    healed: Event
    deadline: float = field(factory=lambda: time.monotonic() + 2 * PATIENCE)

    def delivered(self, alert: str) -> list[Notified]:
        """The notifications of an alert where it is expected; fails if a trouble has failed."""
        for each in self.running:
            if each.done():
                each.result()
        return self.receiver.of(alert, EXPECTED[alert])

    def wait_for(self, query: str) -> None:
        """Return once Prometheus has an answer."""
        eventually(
            lambda: self.prometheus.query(paced(query)),
            every=0.5,
            otherwise=lambda: f"no answer: {paced(query)}",
        )

    def explain(self, alert: str) -> str:
        """What Prometheus knows of an alert where it is expected."""
        state, scrapes = f'ALERTS{{alertname="{alert}"}}', f"avg_over_time(up[{PACE['15m']}])"
        return "\n".join(
            f"{query} = {series['value'][1]} {series['metric']}"
            for query in (state, scrapes, *operands(paced(ALERTS[alert]["expr"])))
            for series in self.prometheus.query(query)
            if series["metric"].get("namespace") in {None, EXPECTED[alert]}
        )

    def firing(self, alert: str) -> bool:
        """Whether an alert was delivered where it is expected, and is not over."""
        notified = self.receiver.of(alert, EXPECTED[alert])
        return any(each.status == "firing" for each in notified)


def load(sites: Collection[Site], publisher: KafkaPublisher, ended: Event) -> None:
    """Keep records coming."""
    while not ended.wait(TICK):
        batch = [record for site in sites for record in islice(site.records, site.each_tick)]
        publisher.publish(batch).wait()


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
        world.wait_for(MANY_REJECTED)  # payments reset the counter
        site.load(Mix(accounts=50, poison=0.2))
        site.each_tick = 10
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
    """A session in a transaction does nothing, then holds a lock; the writer waits for it."""
    with connected(site.deployment.database.superuser) as session:
        session.run("BEGIN")
        world.wait_for(BUSY_BEFORE)
        session.run("LOCK TABLE write.payment_core IN SHARE ROW EXCLUSIVE MODE")
        world.healed.wait()
        session.run("ROLLBACK")


def stop(world: World, site: Site) -> None:
    """A writer that loses its connection again and again, is killed as often, and then hangs."""
    while not world.firing("VoltpayTakeOverStorm") and not world.healed.is_set():
        before = site.writer.printed().count(RECOVERED)
        site.proxy.cut()
        world.publisher.publish([next(site.records)]).wait()
        eventually(partial(site.has_logged, RECOVERED, before))  # else it waits ever longer
    while not world.firing("VoltpayRestartLoop") and not world.healed.is_set():
        known = {None, _start_time(world, site)}
        site.writer.end()
        site.start_writer()
        eventually(partial(_start_time_is_new, world, site, known), every=0.5)
    site.writer.send(signal.SIGSTOP)
    world.healed.wait()
    site.writer.send(signal.SIGCONT)


def _start_time_is_new(world: World, site: Site, known: set[str | None]) -> bool:
    return _start_time(world, site) not in known


def _start_time(world: World, site: Site) -> str | None:
    labels = f'job="voltpay-writer",namespace="{site.namespace}"'
    found = world.prometheus.query(f"process_start_time_seconds{{{labels}}}")
    return found[0]["value"][1] if found else None


def send_away(world: World, site: Site) -> None:
    """A database that cannot be reached, and a writer that needs too much memory."""
    site.proxy.refuse()
    world.healed.wait()
    site.proxy.go_on()
    site.writer.end(signal.SIGTERM)
    site.start_writer()


def slow_down(world: World, site: Site) -> None:
    """Each message to the database takes its time, many records wait, and nobody observes."""
    site.observer.end()
    waiting = samples(Codec(site.deployment.topics), 1500, 2, Mix(accounts=50))
    world.publisher.publish(list(waiting)).wait()
    site.proxy.swallow = lambda _: world.healed.wait(0.4) and False
    world.healed.wait()
    site.start_observer()


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
    HEALTHY: kill_for_memory,
}
EACH_TICK = {HEALTHY: 20, "poisoned": 0, "stopped": 0}
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
    postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[World]:
    with ExitStack() as stack:
        enter = stack.enter_context
        cluster = enter(available(lambda: KafkaCluster(BROKERS, thrifty=True)))
        template = enter(migrated(postgres_server))
        sites = {}
        for name in TROUBLES:
            database = enter(bootstrapped(postgres_server, template))
            folder = tmp_path_factory.mktemp(name)
            settings = SOON if name == "stopped" else {}
            deployment = enter(
                closing(Deployment(cluster, database, folder, PARTITIONS, settings=settings))
            )
            proxy = enter(Proxy((postgres_server.host, postgres_server.port)))
            each_tick = EACH_TICK.get(name, 10)
            sites[name] = Site(name, deployment, proxy, each_tick)
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
                targets.setdefault(job, []).append(target)
        for site in sites.values():
            eventually(partial(site.has_logged, "took over"))
        connection = sites[HEALTHY].deployment.connection
        publisher = enter(
            closing(KafkaPublisher(connection, lambda: PARTITIONS, ack_timeout=PATIENCE))
        )
        healed, ended = Event(), Event()
        pool = enter(ThreadPoolExecutor(len(sites) + 1))
        stack.callback(healed.set)
        stack.callback(ended.set)
        # from here on, since records that begin to come look like a lag that grows
        running = [pool.submit(load, sites.values(), publisher, ended)]
        prometheus = enter(available(lambda: Prometheus(targets, [alertmanager.port], paced)))
        known = sum(map(len, targets.values()))
        eventually(lambda: len(prometheus.query("up == 1")) == known)
        world = World(sites, publisher, prometheus, receiver, proc / "vmstat", running, healed)
        running += [pool.submit(TROUBLES[name], world, site) for name, site in sites.items()]
        yield world
        healed.set()
        ended.set()
        for each in running:
            each.result()


def prepare(site: Site) -> None:
    """Make the topics as the program does, and start the programs."""
    deployment = site.deployment
    deployment.write_settings()
    made = partial(voltpay, "topics", "create", "--config", str(deployment.folder / "voltpay.toml"))
    eventually(lambda: made().exit_code == 0)
    site.start_writer(**STARTED.get(site.namespace, {}))
    site.start_observer()


def test_every_alert_has_its_trouble() -> None:
    """Each alert is made true here."""
    assert EXPECTED.keys() == ALERTS.keys()


@pytest.mark.parametrize("alert", EXPECTED)
def test_an_alert_is_delivered(world: World, alert: str) -> None:
    """Alertmanager notifies the receiver of its severity, with all annotations filled in."""
    eventually(
        lambda: world.delivered(alert),
        seconds=world.deadline - time.monotonic(),
        otherwise=lambda: world.explain(alert),
    )
    notified = world.delivered(alert)[0]
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
    world.wait_for(growing)
    assert world.receiver.of("VoltpayLagGrows", "away") == []


@pytest.mark.parametrize("record", RECORDED)
def test_a_recorded_rule_has_data(world: World, record: str) -> None:
    """Under load each recorded series has a value, but for take-overs, of which a start has one."""
    series = f'{record}{{namespace="{HEALTHY}",step!="take_over"}}'
    found = world.prometheus.query(series)
    assert found
    assert all(float(series["value"][1]) >= 0 for series in found)


@pytest.mark.parametrize(
    "query", [pytest.param(query, id=name) for name, panel in panels() for query in queries(panel)]
)
def test_a_panel_has_data(world: World, query: str) -> None:
    """Under load each query of each panel has an answer."""
    asked = query.replace("$namespace", HEALTHY).replace("$__rate_interval", "5m")
    world.wait_for(asked)


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
    eventually(lambda: not healed.firing(alert), otherwise=lambda: healed.explain(alert))


def test_nothing_rings_where_all_is_well(world: World) -> None:
    """A deployment under load, beside all those in trouble, has had no alert."""
    found = [n for n in world.receiver.notified if n.labels.get("namespace") == HEALTHY]
    assert found == []
