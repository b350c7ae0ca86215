"""The world of the simulation: everything that can differ or break does, as a tape decides."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import TypeVar

from attrs import define, field
from tests.harness.checker import BATCHES_IN_HAND, History, violations
from tests.harness.simulation.kafka import Group
from tests.harness.simulation.processes import Process

from voltpay_adapters.testing.database import MemoryDatabase, MemoryTables
from voltpay_adapters.testing.faults import unavailable
from voltpay_core.codec import Codec
from voltpay_core.errors import Unavailable
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import Partition, ProducerRecord, Record

PARTITIONS = [Partition("payment_writer_topic", number) for number in range(3)]
REFUSED = 13
PATIENT = 100
"""Attempts that outlast every outage here."""

START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS_TO_HEAL, STEPS_A_RECORD, STEPS_IDLE = 300, 60, 60
"""Steps of each process once nothing fails: to find its way back, for a record, and idle."""

T = TypeVar("T")


def _payment(account: int, message: str, status: Status = Status.SUCCESS) -> Record:
    payment = NewPayment(message, account, Decimal("1.50"), "EUR", status, "VSA")
    return _record(account, str(account).encode(), Codec().encode_payment(payment))


def _record(
    account: int, key: bytes | None, value: bytes | None, *headers: tuple[str, bytes]
) -> Record:
    return Record(PARTITIONS[account % len(PARTITIONS)], 0, 0, key, value, headers)


POOL: Sequence[Record | Partition] = (
    *(_payment(account, f"{account}-{number}") for number in range(3) for account in (1, 2, 3, 4)),
    _payment(1, "shared"),
    _payment(2, "shared", Status.PENDING),
    _payment(REFUSED, "refused"),
    _payment(REFUSED, "shared"),
    _record(1, b"1", b"poison"),
    _record(
        2, b"2", b"poison", ("__connect.errors.topic", b"earlier"), ("voltpay-dlq-attempt", b"2")
    ),
    _record(3, None, None),
    _record(1, None, b"{}"),
    *PARTITIONS,
)
"""What may come down the topic; a partition stands for an offset without a record."""


@define
class Tape:
    """The decisions of a history; behind its end nothing goes wrong any more."""

    _bytes: bytes
    _at: int = field(default=0, init=False)

    def __bool__(self) -> bool:
        return self._at < len(self._bytes)

    def take(self) -> int:
        """The next decision, from 0 to 255."""
        if not self:
            return 0
        self._at += 1
        return self._bytes[self._at - 1]

    def choose(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[self.take() % len(options)]


@define(eq=False)
class World:
    """A topic, a group, a database, and writers that come and go.

    Attributes:
        incidents: Everything that may make events be published again.
        wrong: What broke a law on the way.
    """

    tape: Tape
    codec: Codec = field(factory=Codec)
    group: Group = field(init=False)
    tables: MemoryTables = field(init=False)
    published: list[ProducerRecord] = field(factory=list, init=False)
    processes: list[Process] = field(factory=list, init=False)
    current: Process = field(init=False)
    incidents: int = field(default=0, init=False)
    wrong: list[str] = field(factory=list, init=False)
    quiet: bool = field(default=False, init=False)
    _largest_batch: int = field(default=1, init=False)
    _ticks: Iterator[int] = field(factory=count, init=False)

    def __attrs_post_init__(self) -> None:
        self.group = Group({partition: [] for partition in PARTITIONS})
        self.tables = MemoryTables(
            now=self.now, wait=self._wait_for_a_lock, refused={REFUSED}, bumped=self._check_owner
        )

    def now(self) -> datetime:
        """The time, which goes on by a millisecond now and then."""
        return START + timedelta(milliseconds=next(self._ticks) // 3)

    def play(self) -> list[str]:
        """Play the tape, let everything heal, and return each broken law in a sentence."""
        try:
            for _ in range(1 + self.tape.take() % 10):
                self._produce()
            for _ in range(1 + self.tape.take() % 2):
                self._join()
            while self.tape and not self.wrong:
                self._decide()
                self._replace_the_dead()
            if not self.wrong:
                self.wrong += violations(self._history(finished=False))
            self._heal()
            return self.wrong or violations(self._history(finished=True))
        finally:
            for process in self.processes:
                process.kill()

    def _decide(self) -> None:
        decision = self.tape.take()
        kind, argument = decision // 32, decision % 32
        match kind:
            case 0 | 1 | 2:
                self._advance(1 + argument)
            case 3:
                self.current = self.processes[argument % len(self.processes)]
                self._advance(1 + argument)
            case 4:
                self._rebalance()
            case 5:
                self._fail(argument)
            case 6 if argument < 16:
                self._produce()
            case 6 if argument < 24:
                self.current.producer.arrive(argument - 16)
            case 6 if len(self.processes) < 3:
                self._join()
            case 7 if argument < 8:
                self.current.kill(argument)
            case _:
                self._advance(1 + argument // 4)

    def _advance(self, steps: int) -> None:
        process = self.current
        for _ in range(steps):
            before = process.at
            process.advance()
            if before == process.at == "before poll":
                break  # it had nothing to do

    def _fail(self, argument: int) -> None:
        """The step at which the current process stands fails, in one of many ways."""
        self.incidents += 1
        process = self.current
        match argument % 4:
            case 0:
                process.advance(unavailable)
            case 1:
                process.database.close()
                process.advance()
            case _:
                process.producer.arrive(argument // 4)
                process.producer.broken = True
                process.advance()

    def _produce(self) -> None:
        what = self.tape.choose(POOL)
        if isinstance(what, Partition):
            self.group.append(None, what)
        else:
            self.group.append(what, what.partition)

    def _join(self) -> None:
        take = self.tape.take
        process = Process(
            self,
            batch_size=(1000, 1, 2, 3)[take() % 4],
            commit_unit=(None, 1, 2)[take() % 3],
            attempts=(PATIENT, 1, 2, 3)[take() % 4],
            max_records=(None, None, 1, 4)[take() % 4],
            calm=self.quiet,
        )
        self._largest_batch = max(
            self._largest_batch, min(process.batch_size, len(self._offsets()))
        )
        self.processes.append(process)
        self.current = process
        process.advance()
        self._rebalance()

    def _rebalance(self) -> None:
        """Assign every partition to one of those that live."""
        self.incidents += 1
        self.group.rebalance(
            {partition: self.tape.choose(self.processes).member for partition in PARTITIONS}
        )

    def _replace_the_dead(self) -> None:
        for process in [each for each in self.processes if not each.alive]:
            self.incidents += 1
            self.processes.remove(process)
            self._judge(process)
            process.kill()
            process.database.close()
            if self.processes:
                self.current = self.processes[0]
                self._rebalance()
            else:
                self._join()

    def _judge(self, process: Process) -> None:
        """A writer ends in an outage that is longer than its retries, and in nothing else."""
        failure = process.failure
        if failure is None:
            return
        patient = process.attempts == PATIENT or process.calm
        if not isinstance(failure, Unavailable) or failure.halt or (self.quiet and patient):
            self.wrong.append(f"a writer ended in {failure!r}")

    def _heal(self) -> None:
        """Nothing fails any more: all that live share the work, and end it within bounds."""
        self._rebalance()
        self.quiet = True
        bound = STEPS_TO_HEAL + STEPS_A_RECORD * len(self._offsets()) * len(self.processes)
        for _ in range(bound):
            if self.wrong:
                return
            if self._is_done():
                break
            for process in self.processes:
                process.advance()
            self._replace_the_dead()
        else:
            self.wrong.append(f"G5: the work is not done within {bound} steps")
            return
        self._idle()
        epochs = dict(self.tables.epochs)
        self._idle()
        if self.tables.epochs != epochs:
            self.wrong.append("G1: epochs rise though nothing happens")

    def _idle(self) -> None:
        for _ in range(STEPS_IDLE):
            for process in self.processes:
                process.advance()
        for process in self.processes:
            self._judge(process)

    def _is_done(self) -> bool:
        committed = self.group.committed
        return not self.tables.outbox and all(
            committed.get(partition, 0) == len(log) for partition, log in self.group.log.items()
        )

    def _offsets(self) -> list[Record | None]:
        return [record for log in self.group.log.values() for record in log]

    def _check_owner(self, database: MemoryDatabase, partitions: Collection[Partition]) -> None:
        (process,) = (each for each in self.processes if each.database is database)
        if not process.member.sought.issuperset(partitions):
            self.wrong.append("G1: a process bumps epochs of partitions that it has not sought")

    def repeated(self) -> None:
        """Note that a process publishes what was acknowledged to it."""
        self.wrong.append("G2: a process publishes again what was acknowledged to it")

    def _running(self) -> Process:
        return next(each for each in self.processes if each.runs)

    def _wait_for_a_lock(self) -> None:
        self._running().pause("waiting for a lock")

    def _history(self, *, finished: bool) -> History:
        return History(
            produced=[record for record in self._offsets() if record is not None],
            tables=self.tables.read(),
            published=list(self.published),
            acknowledged=dict(self.group.committed),
            codec=self.codec,
            refused=frozenset({REFUSED}),
            most_repeats=self.incidents * BATCHES_IN_HAND * self._largest_batch,
            finished=finished,
            ends={partition: len(log) for partition, log in self.group.log.items()},
        )


def play(tape: bytes) -> list[str]:
    """Play one history, and return what is wrong with it."""
    return World(Tape(tape)).play()
