"""The installed program as real processes, on topics, a group and a database of a test's own."""

from __future__ import annotations

import json
import os
import secrets
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from _pytest.mark import ParameterSet
from attrs import astuple, define, field
from kafka import KafkaAdminClient, OffsetAndMetadata, TopicPartition
from tests.harness.checker import BATCHES_IN_HAND, History, violations
from tests.harness.databases import Database, connected
from tests.harness.history import KafkaGroup, patiently, read_history, read_topic
from tests.harness.stack.kafka import KafkaAddress
from tests.harness.stack.places import ROOT
from tests.harness.stack.processes import Process, state

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.requirements import Topic
from voltpay_adapters.kafka.topics import create
from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec, Topics
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.records import ProducerRecord

VOLTPAY = Path(sys.executable).with_name("voltpay")
FAILPOINTS = (sys.executable, "-m", "tests.harness.failpoints")
SEED = int(os.environ.get("SEED", "1"))
RECORDS = 1500
WORKED = "3 after acknowledge"
"""The way of a process that has done some batches."""
SLOWLY = """
CREATE FUNCTION write.take_time() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END $$;
CREATE TRIGGER take_time AFTER INSERT ON write.payment_core
FOR EACH STATEMENT EXECUTE FUNCTION write.take_time();
"""
by_either_client = pytest.mark.parametrize("client", ["kafka-python", "confluent"], indirect=True)
"""For those rows of faults that `make test` runs with both Kafka clients."""
MIX = Mix(accounts=200, duplicates=0.05, poison=0.03)
PATIENCE = 120
"""Seconds for whatever must happen in the end, on a machine with other things to do."""


class Program(Process):
    """One run of the program."""

    def exit_code(self, *, seconds: float = PATIENCE) -> int:
        """How it ended; a signal counts below zero."""
        self._wait(seconds)
        return int(self._popen.returncode)

    def summary(self) -> dict[str, Any]:
        """What a run with `--output json` printed in the end."""
        lines = [line for line in self.printed().splitlines() if line.startswith('{"written"')]
        found: dict[str, Any] = json.loads(lines[-1])
        return found

    def is_suspended(self) -> bool:
        """Whether it has stopped itself and waits for SIGCONT (Linux)."""
        return state(Path(f"/proc/{self.pid}/stat")) == "T"


@define
class Deployment:
    """Four topics, a consumer group and a database, and the programs that work on them.

    Attributes:
        settings: Further settings by their dotted names, for all programs.
    """

    kafka: KafkaAddress
    database: Database
    folder: Path
    partitions: int = 8
    batch_size: int = 50
    settings: Mapping[str, object] = field(factory=dict)
    token: str = field(factory=lambda: secrets.token_hex(4))
    _programs: list[Program] = field(factory=list, init=False)

    @property
    def topics(self) -> Topics:
        return Topics(*(f"{kind}-{self.token}" for kind in ("writer", "read", "email", "letters")))

    @property
    def group(self) -> KafkaGroup:
        return KafkaGroup(self.kafka.url, self.topics, f"group-{self.token}")

    @property
    def client(self) -> str:
        """The Kafka client of the programs."""
        return str(self.settings.get("kafka.client", "kafka-python"))

    @property
    def connection(self) -> KafkaConnection:
        return KafkaConnection.parse(self.kafka.url)

    def prepare(self) -> None:
        """Write the settings' file, and make the topics."""
        self.write_settings()
        self.make_topics()

    def write_settings(self) -> None:
        """Write the file that every program of this site reads."""
        topics = self.topics
        settings = {
            "source": self.kafka.url,
            "store": self.database.writer,
            "group": self.group.name,
            "batch_size": self.batch_size,
            "topics.writer": topics.writer,
            "topics.read": topics.read,
            "topics.email": topics.email,
            "topics.dead_letter": topics.dead_letter,
            "topics.partitions": self.partitions,
        } | dict(self.settings)
        lines = (f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
        (self.folder / "voltpay.toml").write_text("".join(lines), "utf-8")

    def make_topics(self) -> None:
        """Make those topics that are not there."""
        names = astuple(self.topics)
        create(self.connection, [Topic(name, self.partitions, 2) for name in names])

    @patiently
    def remove_topics(self) -> None:
        """Delete those topics that are there: many of them make brokers slow, and slow to start."""
        with closing(self.admin()) as admin:
            if left := set(astuple(self.topics)) & set(admin.list_topics()):
                admin.delete_topics(sorted(left))

    def feed(self, count: int, *, seed: int = SEED, mix: Mix = MIX) -> None:
        """Make payments from within, which is faster than by the program."""
        self.publish(samples(Codec(self.topics), count, seed, mix))

    def publish(self, records: Iterable[ProducerRecord]) -> None:
        """Put records on topics."""
        events = KafkaPublisher(self.connection, lambda: self.partitions, ack_timeout=PATIENCE)
        with closing(events):
            events.publish(list(records)).wait()

    def start(
        self,
        *arguments: str,
        failing: str | None = None,
        program: Sequence[str | Path] = (VOLTPAY,),
        **settings: Any,
    ) -> Program:
        """Start the program.

        Args:
            failing: A failpoint, as `tests.harness.failpoints` reads it.
            program: What runs in the place of `voltpay`.
            settings: Further settings, such as `database__lock_seconds`.
        """
        variables = {name.upper().replace("__", "_"): value for name, value in settings.items()}
        if failing:
            variables["TEST_FAILPOINT"] = failing
        given = [f"VOLTPAY_{name}={value}" for name, value in variables.items()]
        given += [f"PATH={os.environ['PATH']}", f"PYTHONPATH={ROOT}:{ROOT / 'src'}"]
        if any(name.startswith("TEST_") for name in variables):
            program = FAILPOINTS
        started = Program(
            " ".join(("voltpay", *arguments)),
            ["env", "-i", *given, *program, *arguments],
            log=self.folder / f"{len(self._programs):03}-{arguments[0]}.log",
        )
        self._programs.append(started)
        return started

    def run(self, *arguments: str, code: int = 0, **settings: Any) -> str:
        """Run the program to its end, which must be this exit code; what it printed."""
        program = self.start(*arguments, **settings)
        assert program.exit_code() == code, program.printed()
        return program.printed()

    def consume(
        self, node_id: int | str, *flags: str, failing: str | None = None, **settings: Any
    ) -> Program:
        """Start a consumer."""
        given = ("--output", "json", "--node-id", str(node_id), *flags)
        return self.start("consume", *given, failing=failing, **settings)

    def drain(self, *flags: str) -> dict[str, Any]:
        """Let a fresh consumer do all that is left, and give its summary."""
        consumer = self.consume(999, "--exit-eof", *flags)
        assert consumer.exit_code() == 0, consumer.printed()
        return consumer.summary()

    def move_offsets_back(self) -> None:
        """Let the group begin again with the first records."""
        beginning = OffsetAndMetadata(0, "", -1)
        with closing(self.admin()) as admin:
            places = [
                TopicPartition(place.topic, place.number)
                for place in self.group.acknowledged(admin)
            ]
            admin.alter_group_offsets(self.group.name, dict.fromkeys(places, beginning))

    def written_by(self, *node_ids: int) -> int:
        """How many payments these nodes have written."""
        endings = ", ".join(f"'{node_id:03}'" for node_id in node_ids)
        return self.number(
            f"SELECT count(*) FROM write.payment_core WHERE right(id, 3) IN ({endings})"
        )

    def letter_codes(self) -> Counter[str]:
        """How many dead letters there are of each code."""
        letters = read_topic(self.group.servers, self.topics.dead_letter)
        return Counter(DeadLetter.read(letter).code for letter in letters)

    def number(self, sql: str) -> int:
        """The one number that a SELECT by the superuser gives."""
        return int(self.rows(sql)[0][0])

    def rows(self, sql: str) -> list[list[Any]]:
        """What SQL by the superuser gives."""
        with connected(self.database.superuser) as connection:
            return connection.run(sql) or []

    def lag(self) -> int:
        """Records that the group has yet to acknowledge."""
        with closing(self.admin()) as admin:
            return self.group.lag(admin)

    def members(self) -> int:
        """How many members the group has."""
        with closing(self.admin()) as admin:
            return self.group.members(admin)

    def admin(self) -> KafkaAdminClient:
        return KafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)

    def history(self, **known: Any) -> History:
        """Everything that can be known now."""
        return read_history(self.group, self.database, **known)

    def violations(self, *, kills: int = 0, **known: Any) -> list[str]:
        """What is wrong, if anything is; each kill may repeat what each partition had in hand."""
        overlaps = self.client == "confluent"
        in_hand = self.batch_size * (BATCHES_IN_HAND if overlaps else 1)
        return violations(self.history(most_repeats=kills * in_hand, **known))

    def close(self) -> None:
        """End what still runs."""
        for program in self._programs:
            if program.running:
                program.end(signal.SIGKILL)


def rows(table: Mapping[str, Any], *quick: str) -> list[ParameterSet]:
    """The rows of a table of faults; those that are not quick are for `make faults` alone."""
    assert set(quick) <= table.keys()
    slow = pytest.mark.faults
    return [
        pytest.param(row, id=name, marks=() if name in quick else slow)
        for name, row in table.items()
    ]


def busy(deployment: Deployment, *flags: str, seed: int = SEED, **settings: Any) -> Program:
    """A consumer in the middle of its work, which a trigger makes last a second or two."""
    before = deployment.written_by(1)
    deployment.feed(RECORDS, seed=seed)
    deployment.rows(SLOWLY)
    consumer = deployment.consume(1, *flags, **settings)
    enough = before + 3 * deployment.batch_size
    consumer.wait_for(lambda: deployment.written_by(1) >= enough, seconds=PATIENCE)
    return consumer


def eventually(
    holds: Callable[[], object],
    *,
    seconds: float = PATIENCE,
    every: float = 0.05,
    otherwise: Callable[[], str] = lambda: "it did not happen in time",
) -> None:
    """Return once it holds; fail with what `otherwise` says when it does not in time.

    Args:
        every: Seconds between two looks.
    """
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(every)
