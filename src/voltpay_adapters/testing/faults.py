"""The fault plan: real objects whose every call is a step at which something may go wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar, cast

from attrs import define, field, frozen

from voltpay_core.errors import Unavailable
from voltpay_core.ports import (
    BeginUnitOfWork,
    EventPublisher,
    MessageSource,
    PaymentDatabase,
    PollResult,
    Publication,
    UnitOfWork,
)
from voltpay_core.records import Partition, ProducerRecord

T = TypeVar("T")


class Crash(BaseException):
    """The process dies here: nothing of it may run on."""


def crash() -> None:
    """Die."""
    raise Crash


def unavailable() -> None:
    """Fail in a way that heals."""
    raise Unavailable("the world fails here")


def _go_on() -> None:
    pass


Fault = Callable[[], None]
"""What happens at a step: mostly an exception."""


@define
class Faults:
    """A plan, and how far it has come; the same plan goes wrong in the same way again.

    A step before a call stands for a call that never arrives, one after it for an answer that is
    lost; a commit whose answer is lost has happened all the same. Crashes inside a transaction roll
    it back, as a dead client does.

    Attributes:
        plan: Faults by the numbers of their steps.
        each: Called at each step with its name; a scheduler may wait there, and change the plan.
        trace: The names of the steps so far; its length is the number of the next one.
    """

    plan: Mapping[int, Fault] = field(factory=dict)
    each: Callable[[str], None] = lambda _: None
    trace: list[str] = field(factory=list, init=False)

    def step(self, name: str, but_first: Callable[[], object] = _go_on) -> None:
        """Pass a step; where a fault is planned, do that much of the work before it."""
        number = len(self.trace)
        self.trace.append(name)
        self.each(name)
        if (fault := self.plan.get(number)) is not None:
            but_first()
            fault()

    def around(self, name: str, call: Callable[..., T], *args: object) -> T:
        """Make a call between its two steps."""
        self.step(f"before {name}")
        result = call(*args)
        self.step(f"after {name}")
        return result


@frozen
class FaultySource:
    """A source whose calls may fail."""

    _source: MessageSource
    _faults: Faults

    def poll(self, limit: int) -> PollResult:
        self._faults.step("before poll")  # a poll that fails reports no assigned partition
        return self._source.poll(limit)

    def on_revoke(self, settle: Callable[[], None]) -> None:
        self._source.on_revoke(settle)

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        self._faults.around("seek_to_committed", self._source.seek_to_committed, partitions)

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        self._faults.around("acknowledge", self._source.acknowledge, positions)

    def drained(self) -> bool:
        return self._source.drained()

    def lag(self) -> Mapping[Partition, int]:
        return self._source.lag()

    def close(self) -> None:
        self._source.close()


@frozen
class FaultyPublisher:
    """A publisher whose calls may fail, also when half of the events are through."""

    _publisher: EventPublisher
    _faults: Faults

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        half = events[: len(events) // 2]
        self._faults.step("halfway publish", lambda: self._publisher.publish(half).wait())
        publication = self._faults.around("publish", self._publisher.publish, events)
        return FaultyPublication(publication, self._faults)

    def reset(self) -> None:
        self._publisher.reset()

    def close(self) -> None:
        self._publisher.close()


@frozen
class FaultyPublication:
    """Events on their way, whose acknowledgement may be lost."""

    _publication: Publication
    _faults: Faults

    def wait(self) -> None:
        self._faults.around("wait", self._publication.wait)


def faulty_begin(begin: BeginUnitOfWork, faults: Faults) -> BeginUnitOfWork:
    """Units of work whose every statement, and whose commit, may fail."""

    @contextmanager
    def begin_faultily() -> Iterator[UnitOfWork]:
        faults.step("before begin")
        with begin() as work:
            yield cast(UnitOfWork, _FaultyWork(work, faults))
            faults.step("before commit")
        faults.step("after commit")

    return begin_faultily


@define
class FaultyDatabase:
    """A database whose units of work may fail."""

    _database: PaymentDatabase
    _faults: Faults
    begin: BeginUnitOfWork = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.begin = faulty_begin(self._database.begin, self._faults)

    def connect(self) -> object:
        return self._database.connect()

    def close(self) -> None:
        self._database.close()


class _FaultyWork:
    def __init__(self, work: UnitOfWork, faults: Faults) -> None:
        self.node_id = work.node_id
        self.savepoint = work.savepoint
        self.payments = _FaultyStore(work, "payments", faults)
        self.idempotency = _FaultyStore(work, "idempotency", faults)
        self.outbox = _FaultyStore(work, "outbox", faults)
        self.fence = _FaultyStore(work, "fence", faults)
        self.positions = _FaultyStore(work, "positions", faults)


@define
class _FaultyStore:
    _work: UnitOfWork
    _name: str
    _faults: Faults

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: object) -> object:
            store = getattr(self._work, self._name)  # here, since the connection may be lost by now
            return getattr(store, method)(*args)

        return partial(self._faults.around, f"{self._name}.{method}", call)
