"""Processes of the simulation: each a writer that stops at every step until it is told to go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from attrs import define, field
from greenlet import getcurrent, greenlet
from tests.harness.simulation.kafka import Member

from voltpay_adapters.assembly import payment_writer
from voltpay_adapters.testing.database import MemoryDatabase
from voltpay_adapters.testing.faults import (
    Crash,
    Fault,
    Faults,
    FaultyDatabase,
    FaultyPublisher,
    FaultySource,
)
from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_core.errors import Unavailable
from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import ProducerRecord

if TYPE_CHECKING:
    from tests.harness.simulation.world import World


@define(eq=False)
class Process:
    """A writer, its connection, its member of the group and its producer.

    Attributes:
        attempts: How often it tries each call.
        calm: Whether nothing fails any more since it started.
        at: The step at which it stands.
        failure: What ended it.
    """

    world: World
    batch_size: int
    commit_unit: int | None
    attempts: int
    max_records: int | None
    calm: bool
    member: Member = field(init=False)
    database: MemoryDatabase = field(init=False)
    producer: MemoryPublisher = field(init=False)
    at: str = field(default="start", init=False)
    alive: bool = field(default=True, init=False)
    failure: BaseException | None = field(default=None, init=False)
    _plan: dict[int, Fault] = field(factory=dict, init=False)
    _faults: Faults = field(init=False)
    _body: greenlet = field(init=False)
    _scheduler: greenlet = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.member = Member(self.world.group)
        self.database = MemoryDatabase(self.world.tables)
        self.producer = MemoryPublisher(self.world.published, prompt=False)
        self._faults = Faults(self._plan, each=self.pause)
        self._scheduler = getcurrent()
        self._body = greenlet(self._live)

    @property
    def runs(self) -> bool:
        """Whether it is this process that calls."""
        return getcurrent() is self._body

    def advance(self, fault: Fault | None = None) -> None:
        """Pass the step at which it stands, with that fault, and go on to the next."""
        if not self.alive:
            return
        if fault is not None and self._faults.trace:
            self._plan[len(self._faults.trace) - 1] = fault
        self._body.switch()

    def kill(self, arriving: int = 0) -> None:
        """Die here; that many of its records arrive all the same, and no other."""
        if not self.alive:
            return
        self.producer.arrive(arriving)
        self.alive = False
        self._body.throw(Crash)
        self.database.close()
        self.producer.reset()

    def pause(self, name: str) -> None:
        """Stand at this step until the scheduler lets it go on."""
        if not self.alive:  # it is dying: nothing may happen on the way out
            return
        self.at = name
        self._scheduler.switch()

    def _live(self) -> None:
        try:
            with payment_writer(
                source=FaultySource(self.member, self._faults),
                store=FaultyDatabase(self.database, self._faults),
                events=_NoRepeats(
                    FaultyPublisher(self.producer, self._faults), self.world.repeated
                ),
                retry=self._retry,
                codec=self.world.codec,
                batch_size=self.batch_size,
                commit_unit=self.commit_unit,
                breaker=10**9,
                now=self.world.now,
            ) as writer:
                writer.run(lambda: False, max_records=self.max_records)
        except (Crash, GeneratorExit):
            pass
        except BaseException as failure:  # noqa: BLE001 - the world reports it
            self.failure = failure
        finally:
            self.alive = False

    def _retry(self, act: Callable[[], Any]) -> Any:
        for left in reversed(range(self.attempts)):
            try:
                return act()
            except Unavailable as failure:
                if failure.halt or not left:
                    raise
                self.pause("retry")
        raise AssertionError("a policy needs an attempt")


@define
class _NoRepeats:
    """A publisher that notices what its process publishes again though it was acknowledged."""

    _publisher: EventPublisher
    _repeated: Callable[[], None]
    _acknowledged: set[ProducerRecord] = field(factory=set, init=False)

    def publish(self, records: Sequence[ProducerRecord]) -> Publication:
        if not self._acknowledged.isdisjoint(records):
            self._repeated()
        return _Watched(self._publisher.publish(records), records, self._acknowledged)

    def reset(self) -> None:
        self._publisher.reset()

    def close(self) -> None:
        self._publisher.close()


@define
class _Watched:
    _publication: Publication
    _records: Sequence[ProducerRecord]
    _acknowledged: set[ProducerRecord]

    def wait(self) -> None:
        self._publication.wait()
        self._acknowledged.update(self._records)
