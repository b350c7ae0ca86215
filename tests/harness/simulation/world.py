"""The world of the simulation: everything that can differ or break does, as a tape decides."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle
from typing import TypeVar

import msgspec
from attrs import define, field
from tests.harness.checker import BATCHES_IN_HAND, History, violations
from tests.harness.simulation.kafka import Group
from tests.harness.simulation.processes import PATIENT, UNBREAKABLE, Options, Process
from tests.harness.simulation.purges import WEEK, Purges
from tests.harness.simulation.records import (
    CODEC,
    MANY_PLACES,
    MESSAGES,
    PARTITIONS,
    POOLS,
    REFUSED,
    REFUSED_KEY,
    REJECTED,
    WARM_UP,
    WITHOUT_LETTERS,
)
from tests.harness.simulation.replays import Replays

from voltpay_adapters.testing.database import MemoryTables
from voltpay_adapters.testing.faults import Faults, crash, unavailable
from voltpay_core.codec import CONNECT_ERRORS_PREFIX
from voltpay_core.errors import Unavailable
from voltpay_core.fencing import FencingGuard
from voltpay_core.records import Partition, ProducerRecord, Record, last_header

START = datetime(2026, 1, 1, tzinfo=UTC)
TICKS_A_SECOND = 3000
OUTAGES = (1, 20, 400)
"""Seconds for which all fails; the program retries for 300 by default."""
STEPS_A_TURN, TURNS_TO_HEAL, TURNS_A_RECORD = 10, 30, 6
"""Once nothing fails, so many turns may pass until all is well, and for each offset and process."""

PLACES = (
    "before begin",
    "before fence.hold",
    "after fence.hold",
    "claiming",
    "after idempotency.claim",
    "before commit",
    "after commit",
    "halfway publish",
    "after publish",
    "before wait",
    "after wait",
    "before acknowledge",
    "after acknowledge",
    "before seek_to_committed",
    "before fence.bump_epochs",
    "after fence.bump_epochs",
    "after outbox.pending",
)
"""Steps at which a process may be brought to stand, since it matters what happens there."""

MOVES = (PARTITIONS, *([each] for each in PARTITIONS))
"""The partitions that a stalled process may lose: all of them, or one."""

T = TypeVar("T")


@define
class Tape:
    """The decisions of a history; behind its end nothing goes wrong any more."""

    _bytes: bytes
    _at: int = field(default=0, init=False)

    def __bool__(self) -> bool:
        return self._at < len(self._bytes)

    def take(self) -> int:
        """The next decision, from 0 to 255."""
        at, self._at = self._at, self._at + 1
        return self._bytes[at] if at < len(self._bytes) else 0

    def choose(self, options: Sequence[T]) -> T:
        """One of these."""
        return options[self.take() % len(options)]


@define(eq=False)
class World:
    """A topic, a group, a database, and writers that come and go.

    Attributes:
        owners: The process that has bumped the epoch of a partition last.
        incidents: Everything that may make events be published again.
        wrong: What broke a law on the way.
        tell: Called with the words of a sentence for everything that happens, as `print` is.
        quiet: Whether nothing fails any more.
        bisects: Whether a unit of work may have been bisected, which claims in any order.
        seconds: A clock that never goes back, and goes on where somebody waits.
    """

    tape: Tape
    tell: Callable[..., None]
    group: Group = field(init=False)
    replays: Replays = field(init=False)
    tables: MemoryTables = field(init=False)
    purges: Purges = field(init=False)
    published: list[ProducerRecord] = field(factory=list, init=False)
    processes: list[Process] = field(factory=list, init=False)
    current: Process = field(init=False)
    owners: dict[Partition, Process] = field(factory=dict, init=False)
    incidents: int = field(default=0, init=False)
    wrong: list[str] = field(factory=list, init=False)
    quiet: bool = field(default=False, init=False)
    bisects: bool = field(default=False, init=False)
    seconds: float = field(default=0.0, init=False)
    _pool: Sequence[Record | Partition] = field(init=False)
    _joined: int = field(default=0, init=False)
    _strangers: int = field(default=0, init=False)
    _largest_batch: int = field(default=1, init=False)
    _ticks: int = field(default=0, init=False)
    _latest: int = field(default=0, init=False)
    _told: set[object] = field(factory=set, init=False)
    _heard: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.group = Group(
            {partition: [] for partition in PARTITIONS},
            acknowledging=self._check_acknowledged,
            wrong=self.wrong.append,
            giving_up=self._check_given_up,
        )
        self.replays = Replays(self.group, self.wrong.append)
        self.tables = MemoryTables(now=self.now, wait=self._wait_for_a_lock, refused={REFUSED})
        self.purges = Purges(self.tables, self.group, self.wrong.append)
        self._pool = self.tape.choose(POOLS)

    def now(self) -> datetime:
        """The time, which goes on with waits and a bit with each look, and may step back."""
        self._ticks += 1
        self._latest = max(self._ticks, self._latest)
        return _time(self._ticks)

    def reach(self, seconds: float) -> None:
        """A wait is over that lasts until then."""
        passed = max(0.0, seconds - self.seconds)
        self.seconds += passed
        self._ticks += int(passed * TICKS_A_SECOND)

    def latest(self) -> datetime:
        """The latest time that anybody has read from a clock."""
        return _time(self._latest)

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
                self._heal()
            return self.wrong or violations(self._history())
        finally:
            for process in self.processes:
                process.kill()

    def _decide(self) -> None:
        decision = self.tape.take()
        kind, argument = decision // 32, decision % 32
        match kind:
            case 0:
                self.current.advance(1 + argument)
            case 1 | 2:
                self._advance_to(PLACES[argument % len(PLACES)])
            case 3:
                self.current = self.processes[argument % len(self.processes)]
                self._advance_to(PLACES[argument % len(PLACES)])
            case 4 if argument < 16 or len(self.processes) == 1:
                self._rebalance(anew=argument >= 12)
            case 4 if argument < 24:
                self._move()
            case 4:
                self._stall()
            case 5:
                self._fail(argument)
            case 6 if argument < 16:
                self._produce()
            case 6 if argument < 24:
                self.tell("up to", argument - 16, "events of", self.current.name, "arrive")
                self.current.producer.arrive(argument - 16)
            case 6 if len(self.processes) < 3:
                self._join()
            case _:
                self._disturb(argument)

    def _disturb(self, argument: int) -> None:
        """Something rare happens."""
        if argument < 8:
            self.current.kill(argument)
        elif argument < 12:
            self.tell(self.current.name, "is asked to stop")
            self.current.patience.set()
        elif argument < 16:
            self._bump_from_outside(PARTITIONS[argument % len(PARTITIONS)])
        elif argument < 20:
            self.tell("the clock steps back")
            self._ticks -= 10 ** (argument - 15)
        elif argument < 24:
            self._collide()
        elif argument < 28:
            self._replay()
        elif self._pool in WITHOUT_LETTERS:
            self._purge(8 if argument < 30 else 0)

    def _advance_to(self, place: str) -> None:
        self.current.advance(60, to=place)

    def _stall(self) -> None:
        """A process stands while another takes partitions over, and wakes somewhere on its way."""
        choose = self.tape.choose
        for _ in range(3):
            self._produce()
        stalled = self.current
        self._advance_to(choose(PLACES))
        heir = choose([each for each in self.processes if each is not stalled])
        self._assign(dict.fromkeys(choose(MOVES), heir))
        for self.current in (heir, stalled, heir):
            self._advance_to(choose(PLACES))

    def _fail(self, argument: int) -> None:
        """The step at which the current process stands fails, in one of many ways."""
        self.incidents += 1
        process = self.current
        process.is_in_doubt()
        match argument % 4:
            case 0 if argument >= 24:
                self._go_out(self.processes if argument == 24 else [process])
            case 0:
                process.advance(fault=unavailable)
            case 1:
                self.tell(process.name, "loses its connection")
                process.database.close()
                process.advance()
            case 2:
                self.tell("the producer of", process.name, "breaks")
                process.producer.arrive(argument // 4)
                process.producer.broken = True
                process.advance()
            case _:
                self.incidents += 1
                process.advance(fault=unavailable)
                process.advance(argument // 4)
                process.advance(fault=unavailable)

    def _go_out(self, processes: Sequence[Process]) -> None:
        """Everything that these processes call fails for a while."""
        seconds = self.tape.choose(OUTAGES)
        self.tell("an outage of", seconds, "seconds:", *(each.name for each in processes))
        for process in processes:
            self.incidents += 1
            process.is_in_doubt()
            process.fall_out(seconds)

    def _bump_from_outside(self, partition: Partition) -> None:
        """A writer of another group takes a partition over."""
        if ("fence", partition) not in self.tables.locks:
            self.tell("a stranger takes", partition, "over")
            self.incidents += 1
            self._strangers += 1
            self.tables.epochs[partition] = self.tables.epochs.get(partition, 0) + 1

    def _collide(self) -> None:
        self._advance_to("before begin")
        if self.current.at == "before begin":
            self.tell("the next payment id of", self.current.name, "is taken")
            self.current.collides = self.bisects = True

    def _replay(self) -> None:
        """An operator sends the letters of a code back, and may be cut short."""
        choose = self.tape.choose
        if codes := self.replays.codes(self.published):
            step, fault = self.tape.take() % 24, choose((unavailable, crash))
            code, limit = choose(codes), choose((None, 1))
            self.tell("letters of", code, "are sent back, limit", limit, "until step", step)
            self.replays.replay(code, Faults({step: fault}), limit)

    def _purge(self, days: int) -> None:
        """Everything stands for some days, as if Kafka were away, and old claims are purged.

        Others move between its chunks. It is left out, or stops, where a message could become two
        payments by what the guarantees except.
        """
        passing = timedelta(days=days)
        if self.purges.may_double(self.now() + passing - WEEK):
            return
        self.reach(self.seconds + passing.total_seconds())
        if passing > WEEK:
            self.purges.age()
            for process in self.processes:  # no transaction lasts so long
                self.incidents += 1
                process.database.close()
        chunk, step = self.tape.choose((1000, 1, 2)), self.tape.take() % 64
        self.tell("after", days, "days claims are purged in chunks of", chunk, "until step", step)
        faults = Faults({step: self.tape.choose((unavailable, crash))})
        self.purges.purge(chunk, faults, self._others_move)

    def _others_move(self) -> bool:
        for _ in range(self.tape.take() % 4):
            self._decide()
            self._replace_the_dead()
        return self.purges.may_double(self.now() - WEEK)

    def _produce(self) -> None:
        what = self.tape.choose(self._pool)
        if isinstance(what, Partition):
            self.tell("produced: an offset without a record in", what)
            self.group.append(None, what)
            return
        if self.purges.is_old(what.value):
            return
        self.tell("produced:", what.value, "in", what.partition)
        if what.key == REFUSED_KEY:
            self.bisects = True
        self.group.append(what, what.partition)

    def _join(self) -> None:
        choose = self.tape.choose
        options = Options(
            batch_size=choose((1000, 1, 2, 3)),
            commit_unit=choose((None, 1, 2)),
            retry_seconds=choose((PATIENT, 0, 1, 10)),
            max_records=choose((None, None, 1, 4)),
            until_drained=choose((False, False, True)),
            runs=choose((1, 2)),
            breaker=choose((UNBREAKABLE, 2, 4)),
            prompt=choose((False, False, True)),
            slow=choose((False, True)),
        )
        self._joined += 1
        name = f"writer {self._joined}"
        process = Process(self, name, Options() if self.quiet else options)
        self.tell(name, "joins:", process.options)
        self._largest_batch = max(self._largest_batch, process.options.batch_size)
        self.processes.append(process)
        self.current = process
        process.advance()
        self._rebalance()

    def _rebalance(self, *, anew: bool = False) -> None:
        """Assign every partition to one of those that live."""
        choose = self.tape.choose
        self._assign({partition: choose(self.processes) for partition in PARTITIONS}, anew=anew)

    def _move(self) -> None:
        """Assign every partition to one of those that live, once its owner has settled."""
        choose = self.tape.choose
        owners = {partition: choose(self.processes) for partition in PARTITIONS}
        self.tell("will be assigned:", {each.number: owner.name for each, owner in owners.items()})
        self.group.leaving = {each: owner.member for each, owner in owners.items()}

    def _assign(self, owners: Mapping[Partition, Process], *, anew: bool = False) -> None:
        self.tell("assigned:", {each.number: owner.name for each, owner in owners.items()})
        self.incidents += 1
        self.group.rebalance({each: owner.member for each, owner in owners.items()}, anew=anew)

    def _replace_the_dead(self) -> None:
        for process in [each for each in self.processes if not each.alive]:
            self.incidents += 1
            self.processes.remove(process)
            self._judge(process)
            process.database.close()
            if self.processes:
                self.current = self.processes[0]
                self._rebalance()
            else:
                self._move_offsets_back()
                self._join()

    def _move_offsets_back(self) -> None:
        """As an operator does it, since no member is there."""
        for partition in PARTITIONS:
            if self.tape.take() % 8 == 1 and partition in self.group.committed:
                self.tell("the offset of", partition, "moves back")
                moved = self.group.committed[partition] // 2
                self.group.committed[partition] = max(moved, self.purges.gone(partition))

    def _judge(self, process: Process) -> None:
        """A writer ends in an outage that is longer than its retries, and rarely in a halt."""
        failure = process.failure
        match failure:
            case None:
                return
            case Unavailable(code="breaker"):
                expected = process.rejections.may_stop_it()
            case Unavailable(code="another-writer"):
                expected = self._strangers >= FencingGuard().limit
            case Unavailable(halt=False):
                expected = process.spent
            case _:
                expected = False
        if not expected:
            self.wrong.append(f"a writer ended in {failure!r}")

    def _heal(self) -> None:
        """All share the work, which must end; so must the replay after the database is fixed."""
        self.tell("nothing fails any more")
        self.quiet = True
        for process in self.processes:
            process.fall_out(0)
        self._assign(dict(zip(PARTITIONS, cycle(self.processes), strict=False)))
        self._finish()
        if REJECTED in self.replays.codes(self.published):
            self.tell("the database is fixed, and what it rejected is sent back")
            self.tables.refused.clear()
            self.replays.replay(REJECTED, Faults())
            self._finish()
            payments = {MESSAGES.get(record.value) for record in self._offsets() if record}
            for message in payments - {None} - self.tables.claims.keys():
                self.wrong.append(f"G6: {message!r} is no payment, though it is accepted now")

    def _finish(self) -> None:
        """Nothing fails any more: within bounds all work is done, and everybody rests."""
        bound = TURNS_TO_HEAL + TURNS_A_RECORD * len(self._offsets()) * len(self.processes)
        for _ in range(bound):
            for process in self.processes:
                process.advance(STEPS_A_TURN)
            self._replace_the_dead()
            if self.wrong or all(process.rests() for process in self.processes):
                break
        else:
            self.wrong.append(f"G5: there is no end within {bound} turns")
        if not (self.wrong or self._is_done()):
            self.wrong.append("G5: everybody rests, and work is left")

    def _is_done(self) -> bool:
        committed = self.group.committed
        return not self.tables.outbox and all(
            committed.get(partition, 0) == len(log) for partition, log in self.group.log.items()
        )

    def _offsets(self) -> list[Record | None]:
        return [record for log in self.group.log.values() for record in log]

    def _check_acknowledged(self, partition: Partition, before: int, position: int) -> None:
        """What is acknowledged is published, or is a duplicate of what another publishes."""
        for event in self.published[self._heard :]:
            self._told |= _about(event)
        self._heard = len(self.published)
        for record in self.group.log[partition][before:position]:
            if record is None or record.value == WARM_UP:
                continue
            message = MESSAGES.get(record.value)
            told = {message, (partition.number, record.offset)} & self._told
            if told or (message in MANY_PLACES and message in self.tables.claims):
                continue
            self.wrong.append(
                f"G2: {partition}@{record.offset} is acknowledged before it is told of"
            )

    def _check_given_up(self, partition: Partition) -> None:
        if any(at == partition for at, _, _ in self.tables.outbox.values()):
            self.wrong.append(f"G2: outbox rows of {partition} are left to its next owner")

    def _wait_for_a_lock(self) -> None:
        next(each for each in self.processes if each.runs).pause("waiting for a lock")

    def _history(self) -> History:
        return History(
            produced=[record for record in self._offsets() if record is not None],
            tables=self.tables.read(),
            published=self.published,
            acknowledged=self.group.committed,
            codec=CODEC,
            refused=frozenset({REFUSED}),
            most_repeats=self.incidents
            * BATCHES_IN_HAND
            * min(self._largest_batch, len(self._offsets())),
            claims_kept=not self.purges.happened,
            ends={partition: len(log) for partition, log in self.group.log.items()},
        )


def _time(ticks: int) -> datetime:
    return START + timedelta(milliseconds=1000 * ticks // TICKS_A_SECOND)


def _about(event: ProducerRecord) -> set[object]:
    """The message id of a read event, or the place of a dead letter's record."""
    topics = CODEC.topics
    if event.topic == topics.read:
        return {msgspec.json.decode(event.value or b"")["messageId"]}
    if event.topic == topics.dead_letter:
        number, offset = (
            last_header(event.headers, CONNECT_ERRORS_PREFIX + name) or b""
            for name in ("partition", "offset")
        )
        return {(int(number), int(offset))}
    return set()


def play(tape: bytes, tell: Callable[..., None] = lambda *_: None) -> list[str]:
    """Play one history, and return what is wrong with it; `tell=print` prints what happens."""
    random.seed(tape)  # the waits of retries have some jitter
    return World(Tape(tape), tell).play()
