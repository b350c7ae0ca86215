"""Processes of the simulation: each a writer that stops at every step until it is told to go on."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field, frozen
from greenlet import getcurrent, greenlet
from tests.harness.simulation.kafka import Member
from tests.harness.simulation.records import CODEC, PARTITIONS, REFUSED_KEY

from voltpay_adapters.assembly import payment_writer
from voltpay_adapters.retrying import backoff
from voltpay_adapters.testing.database import MemoryDatabase
from voltpay_adapters.testing.faults import (
    Crash,
    Fault,
    Faults,
    FaultyDatabase,
    FaultyPublisher,
    FaultySource,
    unavailable,
)
from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_core.errors import Fenced, PaymentIdTaken, Unavailable
from voltpay_core.notices import Notice, Polled, RejectionsCounted, UnitCommitted
from voltpay_core.outcomes import DeadLettered, Outcome, Written
from voltpay_core.payments import Payment
from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import Partition, ProducerRecord, Record

if TYPE_CHECKING:
    from tests.harness.simulation.world import World

T = TypeVar("T")

PATIENT = 300
"""The program's default for the seconds in which it retries a call."""

UNBREAKABLE = 10**9

WAITS = frozenset({"before poll", "waiting for a lock"})
"""A process that comes from one of these to the same one has found nothing to do."""


@frozen
class Options:
    """How a process goes about its work.

    Attributes:
        retry_seconds: The time limit of each call, its retries included.
        max_records: Bounds each of its runs.
        until_drained: Its runs end once nothing is left.
        runs: How many runs follow each other.
        prompt: Its events arrive when they are sent, not when they are awaited.
        slow: It may be brought to stand between two claims of a statement.
    """

    batch_size: int = 1000
    commit_unit: int | None = None
    retry_seconds: int = PATIENT
    max_records: int | None = None
    until_drained: bool = False
    runs: int = 1
    breaker: int = UNBREAKABLE
    prompt: bool = False
    slow: bool = False


@define
class Rejections:
    """What a process has seen of the payments that the database rejects, to judge its breaker.

    Attributes:
        limit: That of its breaker.
        since_reset: The rejections that its breaker must have counted.
    """

    limit: int
    since_reset: int = field(default=0, init=False)
    _polled: set[tuple[Partition, int]] = field(factory=set, init=False)
    _committed: set[tuple[Partition, int]] = field(factory=set, init=False)
    _written: int = field(default=0, init=False)

    def poll(self, records: Sequence[Record]) -> None:
        """Take note of what the database may reject."""
        self._polled.update((r.partition, r.offset) for r in records if r.key == REFUSED_KEY)

    def commit(self, outcomes: Sequence[Outcome]) -> bool:
        """Count what is committed; whether the breaker has let too many rejections pass."""
        for outcome in outcomes:
            self._committed.add((outcome.record.partition, outcome.record.offset))
            if isinstance(outcome, Written):
                self._written += 1
                if self._written >= self.limit:
                    self.since_reset = 0
            elif isinstance(outcome, DeadLettered) and outcome.reason.sqlstate:
                self.since_reset, self._written = self.since_reset + 1, 0
        return self.since_reset >= self.limit

    def may_stop_it(self) -> bool:
        """Whether the limit is reached with those that are polled and not committed."""
        return self.since_reset + len(self._polled - self._committed) >= self.limit


class Patience(Event):
    """A request to stop, and the program's retry policy, which waits for it on the world's clock.

    Attributes:
        is_woken: Whether a stop has ended a wait.
    """

    def __init__(self, process: Process) -> None:
        super().__init__()
        self.is_woken = False
        self._process, self._world = process, process.world
        self._seconds, self._began = process.options.retry_seconds, 0.0
        self._policy = backoff(self._seconds, self, timer=lambda: self._world.seconds)

    def retry(self, act: Callable[[], T]) -> T:
        """Call by the policy."""
        self._began = self._world.seconds

        def attempt() -> T:
            if self.is_woken:
                self._world.wrong.append("G5: a call is tried again after a stop")
            try:
                return act()
            except Unavailable as failure:
                self._process.fails(failure)
                raise

        return self._policy(attempt)

    def wait(self, timeout: float | None = None) -> bool:
        """Stand until the scheduler lets the process go on; by then that time has passed."""
        if self.is_spent():
            self._world.wrong.append("G5: a call is retried longer than it may be")
        wakes = self._world.seconds + (timeout or 0)
        self._process.pause("retry")
        if self.is_set():
            self.is_woken = True
        else:
            self._world.reach(wakes)
        return self.is_woken

    def is_spent(self) -> bool:
        """Whether a failure must end the process."""
        return self.is_set() or self._world.seconds >= self._began + self._seconds


@define(eq=False)
class Process:
    """A writer, its connection, its member of the group and its producer.

    Attributes:
        name: Its name in the story of the history.
        at: The step at which it stands.
        patience: How it is asked to stop, and how it retries.
        spent: Whether it ended when its policy had to give up.
        collides: Whether the next payment id that it tries is taken.
        troubled: Whether something has failed for it, so that it may leave work to its successor.
        failure: What ended it.
        rejections: What its breaker may have seen.
    """

    world: World
    name: str
    options: Options
    member: Member = field(init=False)
    database: MemoryDatabase = field(init=False)
    producer: MemoryPublisher = field(init=False)
    at: str = field(default="start", init=False)
    alive: bool = field(default=True, init=False)
    patience: Patience = field(init=False)
    spent: bool = field(default=False, init=False)
    collides: bool = field(default=False, init=False)
    troubled: bool = field(default=False, init=False)
    failure: BaseException | None = field(default=None, init=False)
    rejections: Rejections = field(init=False)
    _highest: str = field(default="", init=False)
    _steps: int = field(default=0, init=False)
    _place: str = field(default="", init=False)
    _outage_ends: float = field(default=0.0, init=False)
    _idle: bool = field(default=False, init=False)
    _epochs: dict[Partition, int] = field(factory=dict, init=False)
    _plan: dict[int, Fault] = field(factory=dict, init=False)
    _faults: Faults = field(init=False)
    _body: greenlet = field(init=False)
    _scheduler: greenlet = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.member = Member(self.world.group)
        self.rejections = Rejections(self.options.breaker)
        self.database = MemoryDatabase(
            self.world.tables,
            adding=self._adds,
            bumping=self._takes_over,
            putting=self._writes,
            claiming=self._claims,
        )
        self.producer = MemoryPublisher(self.world.published, prompt=self.options.prompt)
        self.patience = Patience(self)
        self._faults = Faults(self._plan, each=self.pause)
        self._scheduler = getcurrent()
        self._body = greenlet(self._live)

    @property
    def runs(self) -> bool:
        """Whether it is this process that calls."""
        return getcurrent() is self._body

    def advance(self, steps: int = 1, *, to: str = "", fault: Fault | None = None) -> None:
        """Pass so many steps, but not the place, the first of them with that fault.

        It stops earlier where it has nothing to do.
        """
        if fault is None and self.rests():
            return
        if fault is not None and self._faults.trace:
            self._plan[len(self._faults.trace) - 1] = fault
        self._steps, self._place, before = steps, to, self.at
        self._body.switch()
        now = self.at if self.alive else self.failure or "its end"
        self.world.tell(self.name, "fails" if fault else "goes on from", before, "...", now)

    def rests(self) -> bool:
        """Whether it does nothing until something new happens to it or to its group."""
        if not self._idle or self.at != "before poll" or self.patience.is_set():
            return not self.alive
        drained = self.options.until_drained and self.member.drained()
        return not (drained or self.member.has_work())

    def kill(self, arriving: int = 0) -> None:
        """Die here; that many of its records arrive all the same, and no other."""
        if not self.alive:
            return
        self.world.tell(self.name, "is killed", self.at)
        self.producer.arrive(arriving)
        self.alive = False
        self._body.throw(Crash)
        self.database.close()
        self.producer.reset()

    def pause(self, name: str) -> None:
        """Stand at this step until the scheduler lets it go on, if it is to stand here."""
        if not self.alive:  # it is dying: nothing may happen on the way out
            return
        self._idle = name == self.at and name in WAITS
        self.at = name
        self._steps -= 1
        if self._steps < 1 or name == self._place or self._idle:
            self._scheduler.switch()

    def is_in_doubt(self) -> None:
        """Something fails for it: it may take over whatever it owns."""
        self.troubled = True
        self.member.unowned.update(PARTITIONS)

    def fails(self, failure: Unavailable) -> None:
        """A call fails, and may be tried again."""
        self.is_in_doubt()
        if failure.code == "deadlock" and not self.world.bisects:
            self.world.wrong.append("G5: writers wait for each other")

    def fall_out(self, seconds: float) -> None:
        """Everything that it calls fails from now on, for that long."""
        self._outage_ends = self.world.seconds + seconds
        self._faults.each = self._is_out

    def _live(self) -> None:
        options = self.options
        try:
            with payment_writer(
                source=FaultySource(self.member, self._faults),
                store=FaultyDatabase(self.database, self._faults),
                events=_Watched(FaultyPublisher(self.producer, self._faults), self),
                retry=self.patience.retry,
                codec=CODEC,
                batch_size=options.batch_size,
                commit_unit=options.commit_unit,
                overlap=1,
                breaker=options.breaker,
                notify=self._hears,
                now=self.world.now,
            ) as writer:
                for _ in range(options.runs):
                    before = self.member.acknowledged
                    writer.run(
                        self.patience.is_set,
                        max_records=options.max_records,
                        until_drained=options.until_drained,
                    )
                    self._ends(self.member.acknowledged - before)
        except (Crash, GeneratorExit):
            pass
        except BaseException as failure:  # noqa: BLE001 - the world reports it
            self.failure, self.spent = failure, self.patience.is_spent()
        finally:
            self.alive = False

    def _is_out(self, step: str) -> None:
        self.pause(step)
        if self.world.seconds >= self._outage_ends:
            self._faults.each = self.pause
        elif self.alive:
            unavailable()

    def _hears(self, notice: Notice) -> None:
        match notice:
            case Fenced():
                self.is_in_doubt()
            case Polled(records=records):
                self.rejections.poll(records)
            case UnitCommitted(outcomes=outcomes) if self.rejections.commit(outcomes):
                self.world.wrong.append("G5: the breaker lets too many rejections pass")
            case RejectionsCounted(count=count) if count != self.rejections.since_reset:
                self.world.wrong.append(f"G5: the breaker counts {count} rejections")

    def _claims(self) -> None:
        if self.options.slow:
            self.pause("claiming")

    def _adds(self, payments: Sequence[Payment]) -> None:
        for payment in payments:
            if payment.id.text <= self._highest:
                self.world.wrong.append("G7: payment ids of a process do not increase")
            if not payment.id.text.endswith(f"-{self.database.node_id:03}"):
                self.world.wrong.append("G7: a payment id has a node id that is not leased")
            if payment.created_at > self.world.latest():
                self.world.wrong.append("G7: a payment id has a time that has not come yet")
            self._highest = payment.id.text
        if self.collides:
            self.collides = False
            raise PaymentIdTaken("refused-by-database", "the id is taken", sqlstate="23505")

    def _takes_over(self, epochs: Mapping[Partition, int]) -> None:
        partitions = epochs.keys()
        if not self.member.sought.issuperset(partitions):
            self.world.wrong.append(
                "G1: a process bumps epochs of partitions that it has not sought"
            )
        if not self.member.unowned.issuperset(partitions):
            self.world.wrong.append("G1: a process bumps epochs of partitions that it owns")
        self.member.unowned.difference_update(partitions)
        self.world.owners.update(dict.fromkeys(partitions, self))
        self._epochs.update(epochs)

    def _writes(self, partitions: Collection[Partition]) -> None:
        current = self.world.tables.epochs
        if any(current[each] != self._epochs.get(each) for each in partitions):
            self.world.wrong.append("G2: a process writes for a partition that another took over")

    def _ends(self, done: int) -> None:
        """A run that nothing has disturbed leaves nothing to its successor."""
        options, member = self.options, self.member
        if self.troubled or not member.has_learned():
            return
        cut_short = self.patience.is_set() or done == options.max_records
        if not (cut_short or (options.until_drained and member.drained())):
            self.world.wrong.append("a run ends though nobody asked for it")
        if options.max_records is not None and done > options.max_records:
            self.world.wrong.append("a bounded run acknowledges too much")
        if member.in_hand():
            self.world.wrong.append("G5: a run ends with records in hand")
        taken = {each for each, owner in self.world.owners.items() if owner is self}
        emptied = member.owned & taken if cut_short else member.owned
        if any(row[0] in emptied for row in self.world.tables.outbox.values()):
            self.world.wrong.append("G2: a run ends with rows in the outbox")


@define
class _Watched:
    """A publisher that notices what its process publishes again though it was acknowledged."""

    _publisher: EventPublisher
    _process: Process
    _acknowledged: set[ProducerRecord] = field(factory=set, init=False)

    def publish(self, records: Sequence[ProducerRecord]) -> Publication:
        if not self._acknowledged.isdisjoint(records):
            self._process.world.wrong.append(
                "G2: a process publishes again what was acknowledged to it"
            )
        return _WatchedPublication(self._publisher.publish(records), records, self._acknowledged)

    def reset(self) -> None:
        self._process.is_in_doubt()
        self._publisher.reset()

    def close(self) -> None:
        self._publisher.close()


@define
class _WatchedPublication:
    _publication: Publication
    _records: Sequence[ProducerRecord]
    _acknowledged: set[ProducerRecord]

    def wait(self) -> None:
        self._publication.wait()
        self._acknowledged.update(self._records)
