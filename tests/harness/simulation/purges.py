"""The purges of the simulation, and which messages may still come down the topic after one."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timedelta
from itertools import pairwise

from attrs import define, field
from tests.harness.simulation.kafka import Group
from tests.harness.simulation.records import MESSAGES

from voltpay_adapters.testing.database import MemoryDatabase, MemoryTables
from voltpay_adapters.testing.faults import Crash, Faults, faulty_begin
from voltpay_core.errors import Unavailable
from voltpay_core.purging import ClaimRetention, Purged, expired, purge
from voltpay_core.records import Partition

WEEK = timedelta(days=7)
"""How long the topic keeps what is acknowledged, and the database what is claimed."""


@define(eq=False)
class Purges:
    """Claims that become old and are purged, where a topic has no dead letters.

    Attributes:
        topic: The topic whose messages are claimed.
        wrong: Called with a sentence where a purge does what it must not do.
        happened: Whether there was one.
    """

    tables: MemoryTables
    topic: Group
    wrong: Callable[[str], None]
    happened: bool = field(default=False, init=False)
    _old: dict[Partition, int] = field(factory=dict, init=False)
    _old_messages: set[str] = field(factory=set, init=False)

    def may_double(self, old: datetime) -> bool:
        """Whether no rule keeps the claim of a message that is not acknowledged.

        The claim is older than that time and than the outbox. So it is the claim of another record
        of this message, or the process that has deleted its row does not acknowledge it for a week.
        """
        kept = min([old, *(at for _, _, at in self.tables.outbox.values())])
        claims = [
            self.tables.claims.get(MESSAGES[record.value])
            for partition, log in self.topic.log.items()
            for record in log[self.topic.committed.get(partition, 0) :]
            if record
        ]
        return any(at and at < kept for at in claims)

    def age(self) -> None:
        """Everything in the topic is older than a week."""
        for partition, log in self.topic.log.items():
            self._old[partition] = len(log)
            self._old_messages.update(MESSAGES[record.value] for record in log if record)

    def is_old(self, value: bytes | None) -> bool:
        """Whether no producer sends this message any more."""
        return MESSAGES.get(value) in self._old_messages

    def gone(self, partition: Partition) -> int:
        """The offset up to which the topic has lost what is acknowledged."""
        return min(self.topic.committed.get(partition, 0), self._old.get(partition, 0))

    def purge(self, chunk: int, faults: Faults, stop: Callable[[], bool]) -> None:
        """Delete the claims that are older than a week, until a fault or a stop ends it."""
        self.happened = True
        totals, stops = [0], [False]

        def is_stopped() -> bool:
            stops.append(stop())
            return stops[-1]

        with closing(MemoryDatabase(self.tables)) as database, suppress(Crash, Unavailable):
            begin, retention = faulty_begin(database.begin, faults), ClaimRetention(WEEK, WEEK)
            done = purge(begin, WEEK, retention, chunk=chunk, stop=is_stopped, notify=totals.append)
            if done != Purged(totals[-1], finished=not stops[-1]):
                self.wrong(f"a purge ends with {done}")
            if done.finished and expired(database.begin, WEEK):
                self.wrong("a purge leaves old claims")
        if any(after - before > chunk for before, after in pairwise(totals)):
            self.wrong("a purge deletes more than a chunk at once")
