"""A payment database in memory, whose transactions wait for one another as PostgreSQL's do."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from threading import Condition
from typing import Self

from attrs import define, field, frozen

from voltpay_adapters.testing.tables import FenceRow, Tables, WaitingRow, rows_of
from voltpay_core.errors import Fenced, Misconfigured, PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.payments import Payment, StoredPayment
from voltpay_core.ports import OutboxRow, PaymentRange, PurgeStep
from voltpay_core.records import Partition

LOCK_WAITS = 200
"""Waits for a lock until it times out."""


@define(eq=False)
class MemoryTables:
    """What is committed, and who holds which lock and which node id.

    Attributes:
        now: The database's clock.
        wait: Called until a lock is free; None blocks the thread.
        refused: Accounts whose payments the database rejects.
    """

    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    wait: Callable[[], None] | None = None
    refused: set[int] = field(factory=set)
    payments: dict[str, Payment] = field(factory=dict)
    claims: dict[str, datetime] = field(factory=dict)
    outbox: dict[int, tuple[Partition, bytes, datetime]] = field(factory=dict)
    epochs: dict[Partition, int] = field(factory=dict)
    positions: dict[Partition, int] = field(factory=dict)
    leases: dict[int, object] = field(factory=dict)
    locks: dict[object, dict[_Transaction, bool]] = field(factory=dict)
    row_ids: Iterator[int] = field(factory=lambda: count(1))
    changed: Condition = field(factory=Condition)

    def read(self) -> Tables:
        """Everything that is committed."""
        rows = [rows_of(self.payments[payment_id]) for payment_id in sorted(self.payments)]
        core, metadata, notes = zip(*rows, strict=True) if rows else ((), (), ())
        fence = {
            partition: FenceRow(self.epochs.get(partition, 0), self.positions.get(partition))
            for partition in self.epochs.keys() | self.positions.keys()
        }
        waiting = tuple(WaitingRow(i, *self.outbox[i][:2]) for i in sorted(self.outbox))
        return Tables(core, metadata, notes, tuple(sorted(self.claims)), waiting, fence)

    def wait_for_change(self) -> None:
        """Let others go on, until one of them ends its transaction."""
        if self.wait is None:
            self.changed.wait(10)
        else:
            self.wait()


@define
class _Changes:
    """What a transaction has done so far."""

    payments: dict[str, Payment] = field(factory=dict)
    claims: dict[str, datetime] = field(factory=dict)
    purged: set[str] = field(factory=set)
    put: dict[int, tuple[Partition, bytes, datetime]] = field(factory=dict)
    deleted: set[int] = field(factory=set)
    epochs: dict[Partition, int] = field(factory=dict)
    positions: dict[Partition, int] = field(factory=dict)

    def copy(self) -> _Changes:
        """The same, which later changes leave as it is."""
        return _Changes(
            self.payments.copy(),
            self.claims.copy(),
            self.purged.copy(),
            self.put.copy(),
            self.deleted.copy(),
            self.epochs.copy(),
            self.positions.copy(),
        )


@define(eq=False)
class _Transaction:
    """A unit of work; what it writes is of one instant, that of its beginning."""

    database: MemoryDatabase
    node_id: int
    now: datetime
    changes: _Changes = field(factory=_Changes)
    broken: bool = False
    _held: list[object] = field(factory=list)
    _wanted: tuple[object, bool] | None = None

    @property
    def tables(self) -> MemoryTables:
        return self.database.tables

    @property
    def payments(self) -> _Payments:
        return _Payments(self.connected())

    @property
    def idempotency(self) -> _Claims:
        return _Claims(self.connected())

    @property
    def outbox(self) -> _Outbox:
        return _Outbox(self.connected())

    @property
    def fence(self) -> _Fence:
        return _Fence(self.connected())

    @property
    def positions(self) -> _Positions:
        return _Positions(self.connected())

    def connected(self) -> _Transaction:
        """This transaction, unless its connection is lost."""
        if self.broken:
            raise Unavailable("terminating connection due to administrator command")
        return self

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        try:
            if not failed:
                self.commit()
        finally:
            self.roll_back()

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        changes, held = self.changes.copy(), len(self._held)
        try:
            yield
        except BaseException:
            self.changes = changes
            self._release(held)
            raise

    def lock(self, key: object, *, exclusive: bool) -> None:
        """Wait until no other transaction holds a lock that excludes this one."""
        with self.tables.changed:
            self._wanted = key, exclusive
            for _ in range(LOCK_WAITS):
                blockers = self._blockers()
                if not blockers:
                    holders = self.tables.locks.setdefault(key, {})
                    if self not in holders:
                        self._held.append(key)
                    holders[self] = exclusive or holders.get(self, False)
                    self._wanted = None
                    return
                if self._waits_for_itself(blockers):
                    raise Unavailable("deadlock detected", code="deadlock")
                self.tables.wait_for_change()
        raise Unavailable("canceling statement due to lock timeout", code="lock-timeout")

    def _blockers(self) -> list[_Transaction]:
        """The transactions whose locks exclude the one that this one waits for."""
        if self._wanted is None:
            return []
        key, exclusive = self._wanted
        holders = self.tables.locks.get(key, {})
        return [each for each, mode in holders.items() if each is not self and (exclusive or mode)]

    def _waits_for_itself(self, blockers: list[_Transaction]) -> bool:
        found = set(blockers)
        while blockers:
            blockers = [each for blocker in blockers for each in blocker._blockers()]
            if self in blockers:
                return True
            blockers = [each for each in blockers if each not in found]
            found.update(blockers)
        return False

    def commit(self) -> None:
        """Make every change, and release every lock."""
        self.connected()
        tables, changes = self.tables, self.changes
        with tables.changed:
            tables.payments.update(changes.payments)
            tables.claims.update(changes.claims)
            tables.outbox.update(changes.put)
            tables.epochs.update(changes.epochs)
            tables.positions.update(changes.positions)
            for key in changes.purged:
                tables.claims.pop(key, None)
            for row in changes.deleted:
                tables.outbox.pop(row, None)
            self.roll_back()

    def roll_back(self) -> None:
        """Release every lock; the changes were nobody else's."""
        self._release(0)

    def _release(self, count: int) -> None:
        if len(self._held) == count:
            return
        with self.tables.changed:
            for key in self._held[count:]:
                holders = self.tables.locks[key]
                del holders[self]
                if not holders:
                    del self.tables.locks[key]
            del self._held[count:]
            self.tables.changed.notify_all()


@frozen
class _Payments:
    work: _Transaction

    def add(self, payments: Sequence[Payment]) -> None:
        self.work.database.adding(payments)
        known, changed = self.work.tables.payments, self.work.changes.payments
        added: dict[str, Payment] = {}
        for payment in payments:
            if payment.stated.account_id in self.work.tables.refused:
                raise Rejected(
                    "refused-by-database", "a check failed", sqlstate="23514", constraint="refused"
                )
            if any(payment.id.text in ids for ids in (known, changed, added)):
                raise PaymentIdTaken("refused-by-database", "the id is taken", sqlstate="23505")
            added[payment.id.text] = payment
        changed.update(added)


@frozen
class _Claims:
    work: _Transaction

    def claim(self, keys: Sequence[str]) -> set[str]:
        tables, free = self.work.tables, set()
        for key in keys:
            self.work.lock(("claim", key), exclusive=True)
            self.work.database.claiming()
            if key not in tables.claims and key not in self.work.changes.claims:
                free.add(key)
        self.work.changes.claims.update(dict.fromkeys(free, self.work.now))
        return free

    def purge(self, older_than: timedelta, limit: int, start: int = 0) -> PurgeStep:
        old = self._old(older_than)[:limit]
        self.work.changes.purged.update(old)
        return PurgeStep(len(old), start if len(old) == limit else None)

    def expired(self, older_than: timedelta) -> int:
        return len(self._old(older_than))

    def _old(self, older_than: timedelta) -> list[str]:
        tables = self.work.tables
        before = self.work.now - older_than
        rows = [row for i, row in tables.outbox.items() if i not in self.work.changes.deleted]
        before = min([before, *(created_at for _, _, created_at in rows)])
        purged = self.work.changes.purged
        return [key for key, at in tables.claims.items() if at < before and key not in purged]


@frozen
class _Outbox:
    work: _Transaction

    def put(self, payloads: Mapping[Partition, bytes]) -> frozenset[int]:
        self.work.database.putting(payloads.keys())
        tables = self.work.tables
        rows = {
            next(tables.row_ids): (partition, payload, self.work.now)
            for partition, payload in payloads.items()
        }
        self.work.changes.put.update(rows)
        return frozenset(rows)

    def pending(self, partitions: Collection[Partition]) -> list[OutboxRow]:
        changes = self.work.changes
        rows = {**self.work.tables.outbox, **changes.put}
        return [
            OutboxRow(row, rows[row][1])
            for row in sorted(rows.keys() - changes.deleted)
            if rows[row][0] in partitions
        ]

    def delete(self, ids: Collection[int]) -> None:
        self.work.changes.deleted.update(ids)


@frozen
class _Fence:
    work: _Transaction

    def hold(self, epochs: Mapping[Partition, int]) -> None:
        for partition in sorted(epochs):
            self.work.lock(("fence", partition), exclusive=False)
        known = {**self.work.tables.epochs, **self.work.changes.epochs}
        bumped = {partition for partition, epoch in epochs.items() if known.get(partition) != epoch}
        if bumped:
            raise Fenced(bumped, "another process has bumped their epochs", code="epoch-bumped")

    def bump_epochs(self, partitions: Collection[Partition]) -> dict[Partition, int]:
        for partition in sorted(partitions):
            self.work.lock(("fence", partition), exclusive=True)
        known = {**self.work.tables.epochs, **self.work.changes.epochs}
        epochs = {partition: known.get(partition, 0) + 1 for partition in partitions}
        self.work.database.bumping(epochs)
        self.work.changes.epochs.update(epochs)
        return epochs


@frozen
class _Positions:
    work: _Transaction

    def load(self, partition: Partition) -> int | None:
        return {**self.work.tables.positions, **self.work.changes.positions}.get(partition)

    def save(self, partition: Partition, position: int) -> None:
        self.work.changes.positions[partition] = position


@define(eq=False)
class MemoryDatabase:
    """One process's connection to the tables, and the node id that it holds.

    Attributes:
        adding: Called with the payments that it adds; the database may reject them there.
        bumping: Called with the partitions whose epochs it bumps, and the new epochs.
        putting: Called with the partitions that it puts outbox rows for.
        claiming: Called after each key that it claims, while it holds the lock.
        node_id: What it holds while it is connected.
    """

    tables: MemoryTables = field(factory=MemoryTables)
    _node_ids: Sequence[int] = NODE_IDS
    adding: Callable[[Sequence[Payment]], None] = lambda _: None
    bumping: Callable[[Mapping[Partition, int]], None] = lambda _: None
    putting: Callable[[Collection[Partition]], None] = lambda _: None
    claiming: Callable[[], None] = lambda: None
    node_id: int | None = field(default=None, init=False)
    _work: _Transaction | None = field(default=None, init=False)

    def connect(self) -> object:
        if self.node_id is None:
            with self.tables.changed:
                self.node_id = self._lease()
        return self

    def begin(self) -> _Transaction:
        self.connect()
        assert self.node_id is not None
        self._work = _Transaction(self, self.node_id, self.tables.now())
        return self._work

    def close(self) -> None:
        """Lose the connection, and with it the node id and the transaction with its locks."""
        if self._work is not None:
            self._work.broken = True
            self._work.roll_back()
        if self.node_id is not None:
            self.tables.leases.pop(self.node_id, None)
        self.node_id = None

    def _lease(self) -> int:
        for node_id in self._node_ids:
            if self.tables.leases.setdefault(node_id, self) is self:
                return node_id
        raise Misconfigured(f"node id {self._node_ids[0]} is taken", code="node-id-taken")


@frozen
class MemoryPaymentReader:
    """A `PaymentReader` of tables in memory."""

    _tables: MemoryTables

    def read(self, payments: PaymentRange, limit: int) -> Sequence[StoredPayment]:
        return self._within(payments)[:limit]

    def count(self, payments: PaymentRange) -> int:
        return len(self._within(payments))

    def close(self) -> None:
        pass

    def _within(self, payments: PaymentRange) -> list[StoredPayment]:
        after = payments.after.text if payments.after else ""
        found = sorted(self._tables.payments.items())
        return [
            stored(payment)
            for payment_id, payment in found
            if payment_id > after and payments.start <= payment.created_at < payments.end
        ]


def stored(payment: Payment) -> StoredPayment:
    """What a `PaymentReader` returns for a written payment."""
    stated = payment.stated
    return StoredPayment(
        payment.id,
        stated.account_id,
        stated.amount,
        stated.currency,
        stated.status,
        stated.type,
        stated.comment,
        stated.external_ref_id,
        payment.created_at,
        payment.version,
    )
