"""Steady load, and something breaks every 10 to 30 seconds: `python -m tests.soak --minutes 60`."""

from __future__ import annotations

import argparse
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, closing, suppress
from datetime import timedelta
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from attrs import asdict, define, evolve, field, frozen
from kafka.errors import KafkaError
from pg8000.exceptions import DatabaseError, InterfaceError
from tests.harness.checker import violations
from tests.harness.databases import Database, bootstrapped, connected
from tests.harness.deployment import Deployment, Program, eventually
from tests.harness.history import KafkaGroup, patiently
from tests.harness.partition_history import read_slice
from tests.harness.picture import Panel, draw
from tests.harness.proxy import Proxy
from tests.harness.stack.kafka import BROKERS, KafkaCluster
from tests.harness.stack.postgres import PostgresServer

from voltpay_core.codec import EVENT_ID_HEADER
from voltpay_core.records import Partition, ProducerRecord, last_header

CONSUMERS = 3
PARTITIONS = 24
BATCH_SIZE = 500
SETTINGS = {
    "kafka.options.session_timeout_ms": "6000",
    "kafka.options.heartbeat_interval_ms": "1000",
    "kafka.options.reconnect_backoff_max_ms": "2000",
    "database.lock_seconds": 5,
    "database.statement_seconds": 10,
    "limits.publish_seconds": 20,
}
_TROUBLES = (KafkaError, DatabaseError, InterfaceError, OSError, AssertionError)


@frozen
class Sample:
    """What could be seen at one moment; the processes' numbers are those of the largest."""

    at: float
    lag: int | None
    rss_mib: float
    descriptors: int
    connections: int | None


@frozen
class Struck:
    """A fault: when it began and healed, and how long until all was done that was there by then."""

    fault: str
    at: float
    healed: float
    recovery: float


@define
class Soak:
    """The world of a soak.

    Attributes:
        random: Decides what breaks, and when.
    """

    kafka: KafkaCluster
    postgres: PostgresServer
    proxy: Proxy
    deployment: Deployment
    random: Random
    consumers: list[Program] = field(factory=list)
    samples: list[Sample] = field(factory=list)
    struck: list[Struck] = field(factory=list)
    exits: Counter[int] = field(factory=Counter)
    started: float = field(factory=time.monotonic)
    over: threading.Event = field(factory=threading.Event)

    @property
    def now(self) -> float:
        return round(time.monotonic() - self.started, 1)

    def join(self) -> Program:
        """One consumer more."""
        self.consumers.append(self.deployment.consume("auto"))
        return self.consumers[-1]

    def leave(self, how: signal.Signals, consumer: Program | None = None) -> None:
        """One consumer less."""
        consumer = consumer or self.random.choice(self.consumers)
        self.consumers.remove(consumer)
        consumer.send(how)
        self.exits[consumer.exit_code()] += 1

    def pause(self, least: float, most: float) -> None:
        time.sleep(self.random.uniform(least, most))

    def revive(self) -> None:
        """Replace consumers that gave up."""
        for consumer in [c for c in self.consumers if not c.running]:
            self.consumers.remove(consumer)
            self.exits[consumer.exit_code()] += 1
            print(f"{self.now:8.1f} a consumer ended:\n{consumer.printed()[-2000:]}", flush=True)
            self.join()

    def strike(self) -> None:
        """Let something break and heal, and wait until all is done that was there by then."""
        name = self.random.choice(list(FAULTS))
        at = self.now
        print(f"{at:8.1f} {name}", end="", flush=True)
        FAULTS[name](self)
        healed = self.now
        ends = self.ends()
        eventually(lambda: self.reached(ends), seconds=300)
        self.struck.append(Struck(name, at, healed, round(self.now - healed, 1)))
        print(f", healed {healed:.1f}, recovered {self.now:.1f}", flush=True)
        self.revive()

    @patiently
    def ends(self) -> Mapping[Partition, int]:
        with closing(self.deployment.admin()) as admin:
            return self.deployment.group.ends(admin)

    def reached(self, ends: Mapping[Partition, int]) -> bool:
        """Whether everything before these offsets is acknowledged."""
        self.revive()
        try:
            with closing(self.deployment.admin()) as admin:
                done = self.deployment.group.acknowledged(admin)
        except KafkaError:
            return False
        return all(done.get(place, 0) >= end for place, end in ends.items())

    def watch(self) -> None:
        """Take a sample now and then, until it is over."""
        while not self.over.wait(2):
            lag = connections = None
            with suppress(*_TROUBLES):
                lag = self.deployment.lag()
            with suppress(*_TROUBLES):
                connections = self.deployment.number(
                    "SELECT count(*) FROM pg_stat_activity WHERE usename = 'voltpay_writer'"
                )
            pids = [consumer.pid for consumer in self.consumers if consumer.running]
            self.samples.append(
                Sample(
                    self.now,
                    lag,
                    max((_rss(pid) for pid in pids), default=0.0),
                    max((_descriptors(pid) for pid in pids), default=0),
                    connections,
                )
            )

    def produce(self, rate: int, minutes: float, seeds: Random) -> None:
        """Make payments at that rate, minute by minute; an outage only costs the rest of one."""
        until = self.started + minutes * 60
        flags = ("--duplicates", "0.03", "--poison", "0.005", "--accounts", "5000")
        while (left := until - time.monotonic()) > 1 and not self.over.is_set():
            count = max(1, int(rate * min(left, 60)))
            seed = str(seeds.getrandbits(32))
            self.deployment.start(
                *("produce", "--rate", str(rate), "--count", str(count), "--seed", seed, *flags)
            ).exit_code(seconds=600)


# --- what breaks ------------------------------------------------------------------------------


def a_consumer_is_killed(soak: Soak) -> None:
    soak.leave(signal.SIGKILL)
    soak.join()


def a_consumer_is_replaced(soak: Soak) -> None:
    soak.leave(signal.SIGTERM)
    soak.join()


def a_consumer_comes_and_goes(soak: Soak) -> None:
    guest = soak.join()
    soak.pause(3, 8)
    soak.leave(signal.SIGTERM, guest)


def a_consumer_is_suspended(soak: Soak) -> None:
    consumer = soak.random.choice(soak.consumers)
    consumer.send(signal.SIGSTOP)
    soak.pause(1, 10)
    consumer.send(signal.SIGCONT)


def the_database_restarts(soak: Soak) -> None:
    soak.postgres.restart("fast")


def the_database_crashes(soak: Soak) -> None:
    soak.postgres.restart("immediate")


def the_connections_are_cut(soak: Soak) -> None:
    soak.proxy.cut()


def the_connections_stall(soak: Soak) -> None:
    soak.proxy.stall()
    soak.pause(1, 8)
    soak.proxy.go_on()


def an_answer_to_commit_is_swallowed(soak: Soak) -> None:
    left = [True]
    soak.proxy.swallow = lambda said: b"COMMIT\x00" in said and bool(left) and left.pop()
    eventually(lambda: not left)


def a_backend_is_terminated(soak: Soak) -> None:
    soak.deployment.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE usename = 'voltpay_writer' ORDER BY random() LIMIT 1"
    )


def a_table_is_locked(soak: Soak) -> None:
    with connected(soak.deployment.database.superuser) as connection:
        connection.run("BEGIN")
        connection.run("LOCK TABLE write.payment_notes IN ACCESS EXCLUSIVE MODE")
        soak.pause(1, 7)
        connection.run("COMMIT")


def a_broker_stops(soak: Soak) -> None:
    broker = soak.random.choice(BROKERS)
    soak.kafka.stop_broker(broker)
    soak.pause(0, 5)
    soak.kafka.start_broker(broker)


def a_broker_is_killed(soak: Soak) -> None:
    broker = soak.random.choice(BROKERS)
    soak.kafka.kill_broker(broker)
    soak.pause(0, 5)
    soak.kafka.start_broker(broker)


def a_broker_is_suspended(soak: Soak) -> None:
    broker = soak.random.choice(BROKERS)
    soak.kafka.suspend_broker(broker)
    soak.pause(1, 8)
    soak.kafka.resume_broker(broker)
    soak.kafka.wait_until_in_sync(broker)


def all_brokers_are_killed(soak: Soak) -> None:
    soak.kafka.crash_brokers()


FAULTS: dict[str, Callable[[Soak], None]] = {
    strike.__name__.replace("_", " "): strike
    for strike in (
        a_consumer_is_killed,
        a_consumer_is_replaced,
        a_consumer_comes_and_goes,
        a_consumer_is_suspended,
        the_database_restarts,
        the_database_crashes,
        the_connections_are_cut,
        the_connections_stall,
        an_answer_to_commit_is_swallowed,
        a_backend_is_terminated,
        a_table_is_locked,
        a_broker_stops,
        a_broker_is_killed,
        a_broker_is_suspended,
        all_brokers_are_killed,
    )
}


# --- the run ----------------------------------------------------------------------------------


def main() -> int:
    """Soak, drain and check all of it, then tell; 1 where anything is wrong.

    What it saw goes into `soak/soak.json`, and a picture of it into `soak/soak.svg`.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=500, help="records a second")
    seed = int(os.environ.get("SEED") or secrets.randbits(32))
    parser.add_argument("--seed", type=int, default=seed)
    parser.add_argument("--output", type=Path, default=Path("soak"), help="a folder")
    given = parser.parse_args()
    print(f"SEED={given.seed}", flush=True)
    with ExitStack() as opened:
        soak = _open(given.seed, opened)
        run(soak, given.rate, given.minutes, Random(given.seed))
        print(f"{soak.now:8.1f} drained; checking", flush=True)
        report = {
            "seed": given.seed,
            "minutes": given.minutes,
            "rate": given.rate,
            **check(soak.deployment),
            **told(soak),
        }
    given.output.mkdir(exist_ok=True)
    (given.output / "soak.json").write_text(json.dumps(report, indent=1))
    (given.output / "soak.svg").write_text(picture(report))
    shown = {name: value for name, value in report.items() if name not in {"samples", "faults"}}
    print(json.dumps(shown, indent=1))
    return int(bool(report["violations"]))


def _open(seed: int, opened: ExitStack) -> Soak:
    kafka = opened.enter_context(KafkaCluster())
    postgres = opened.enter_context(PostgresServer(durable=False))
    database = opened.enter_context(bootstrapped(postgres))
    if database.liquibase.update():
        raise SystemExit("Liquibase failed")
    proxy = opened.enter_context(Proxy((postgres.host, postgres.port)))
    through = database.writer.replace(f":{postgres.port}/", f":{proxy.port}/")
    folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="voltpay-soak-")))
    deployment = Deployment(
        *(kafka, evolve(database, writer=through), folder),
        partitions=PARTITIONS,
        batch_size=BATCH_SIZE,
        settings=SETTINGS,
    )
    opened.callback(deployment.close)
    deployment.prepare()
    return Soak(kafka, postgres, proxy, deployment, Random(seed))


def run(soak: Soak, rate: int, minutes: float, seeds: Random) -> None:
    """Load and faults for so many minutes, then calm until all is done."""
    producer = threading.Thread(target=soak.produce, args=(rate, minutes, seeds))
    watcher = threading.Thread(target=soak.watch)
    for _ in range(CONSUMERS):
        soak.join()
    producer.start()
    watcher.start()
    try:
        next_at = soak.now + 20
        while next_at < minutes * 60:
            soak.over.wait(max(0.0, next_at - soak.now))
            next_at = soak.now + soak.random.uniform(10, 30)
            soak.strike()
        producer.join()
        ends = soak.ends()
        eventually(lambda: soak.reached(ends), seconds=300)
        soak.over.wait(4)  # for the last samples, at rest
    finally:
        soak.over.set()
        watcher.join()
    while soak.consumers:
        soak.leave(signal.SIGTERM)


def check(deployment: Deployment) -> dict[str, Any]:
    """Look at everything, partition by partition, and count."""
    found: list[str] = []
    counts: Counter[str] = Counter()
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        look = partial(_check_slice, deployment.group, deployment.database)
        for counted, wrong in pool.map(look, range(PARTITIONS)):
            counts.update(counted)
            found += wrong
    for name, table in (("payments", "payment_core"), ("claims", "idempotency")):
        if (rows := deployment.number(f"SELECT count(*) FROM write.{table}")) != counts[name]:
            found.append(f"G6: {rows - counts[name]} rows of {table} belong to nothing produced")
    kinds = Counter(sentence.partition(":")[0] for sentence in found)
    return {**counts, "violations": len(found), "kinds": kinds, "examples": found[:20]}


def _check_slice(
    group: KafkaGroup, database: Database, number: int
) -> tuple[Mapping[str, int], list[str]]:
    history = read_slice(group, database, number)
    counted = {
        "produced": len(history.produced),
        "payments": len(history.tables.core),
        "events": len(history.published),
        "claims": len(history.tables.claims),
        "repeats": _repeats(history.published, group.topics.read),
    }
    return counted, violations(history)


def _repeats(events: Sequence[ProducerRecord], topic: str) -> int:
    ids = [last_header(e.headers, EVENT_ID_HEADER) for e in events if e.topic == topic]
    return len(ids) - len(set(ids))


def told(soak: Soak) -> dict[str, Any]:
    """What the run itself saw."""
    recoveries = [struck.recovery for struck in soak.struck]
    first = [sample.rss_mib for sample in soak.samples if sample.at < 600]
    last = [sample.rss_mib for sample in soak.samples if sample.at > soak.samples[-1].at - 600]
    worst: dict[str, float] = {}
    for struck in soak.struck:
        worst[struck.fault] = max(struck.recovery, worst.get(struck.fault, 0.0))
    return {
        "faults_injected": len(soak.struck),
        "recovery_median": median(recoveries or [0]),
        "recovery_nine_of_ten": sorted(recoveries or [0])[len(recoveries) * 9 // 10],
        "recovery_worst": max(recoveries, default=0),
        "rss_mib_first_ten_minutes": median(first or [0]),
        "rss_mib_most": max((sample.rss_mib for sample in soak.samples), default=0),
        "rss_mib_last_ten_minutes": median(last or [0]),
        "recovery_worst_by_fault": worst,
        "exits": dict(soak.exits),
        "faults": [asdict(struck) for struck in soak.struck],
        "samples": [asdict(sample) for sample in soak.samples],
    }


def picture(report: dict[str, Any]) -> str:
    """Lag, memory, descriptors and connections over time, with a line for each fault."""
    samples = report["samples"]
    times = [sample["at"] for sample in samples]
    titles = {
        "lag": "lag in records",
        "rss_mib": "RSS of the largest consumer in MiB",
        "descriptors": "open files and sockets of the consumer that has most",
        "connections": "connections to the database",
    }
    panels = [Panel(title, times, [s[name] for s in samples]) for name, title in titles.items()]
    length = timedelta(minutes=report["minutes"])
    heading = (
        f"{length} at {report['rate']}/s with {report['faults_injected']} faults:"
        f" {report['violations']} violations"
    )
    return draw(heading, panels, [fault["at"] for fault in report["faults"]])


def _rss(pid: int) -> float:
    with suppress(OSError, StopIteration):
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        return round(int(next(n for n in lines if n.startswith("VmRSS")).split()[1]) / 1024, 1)
    return 0.0


def _descriptors(pid: int) -> int:
    with suppress(OSError):
        return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())
    return 0


if __name__ == "__main__":
    sys.exit(main())
