"""PostgreSQL as the payment database: one connection, one transaction for each commit unit."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime

from attrs import define, field, frozen

from voltpay_adapters.postgres.defaults import CLOCK_SKEW
from voltpay_adapters.postgres.inspection import encoding_shortfall
from voltpay_adapters.postgres.session import Session
from voltpay_adapters.postgres.stores import (
    PostgresFence,
    PostgresIdempotency,
    PostgresOutbox,
    PostgresPayments,
    PostgresPositions,
)
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.ids import NODE_IDS
from voltpay_core.ports import UnitOfWork

NODE_LOCKS = 0x566F6C74
"""The first key of the advisory locks that lease node ids; the second is the node id."""


@frozen
class PostgresUnitOfWork:
    """One transaction over all the tables."""

    _session: Session
    node_id: int
    payments: PostgresPayments
    idempotency: PostgresIdempotency
    outbox: PostgresOutbox
    fence: PostgresFence
    positions: PostgresPositions

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo the block if it raises."""
        self._session.run("SAVEPOINT attempt")
        try:
            yield
        except BaseException:
            if not self._session.broken:
                self._session.run("ROLLBACK TO attempt; RELEASE attempt")
            raise
        self._session.run("RELEASE attempt")


@define
class PostgresDatabase:
    """A database with one connection, which is opened at its first use.

    The connection leases the node id: a process that loses the connection loses the lease and the
    transaction together (G7).

    Attributes:
        target: The database, with the writer's user and password.
        node_ids: The candidates; the first free one is leased.
        tls: The TLS context; None for no encryption.
        now: The clock of this machine, which is compared with the database's.
        clock_skew: The largest accepted difference between the two clocks, in seconds.
        notify: Called at the first connection with a sentence about the database's shortcomings.
    """

    _target: DatabaseUrl
    _node_ids: Sequence[int] = NODE_IDS
    _timeouts: Timeouts = field(factory=Timeouts)
    _tls: ssl.SSLContext | None = None
    _now: Callable[[], datetime] = lambda: datetime.now(UTC)
    _clock_skew: float = CLOCK_SKEW
    _notify: Callable[[str], None] = lambda _: None
    _session: Session | None = field(default=None, init=False)
    _lease: int | None = field(default=None, init=False)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        """Open a unit of work."""
        session, node_id = self.connect()
        try:
            # read committed: a statement that waited for a transaction sees its changes
            session.run("BEGIN ISOLATION LEVEL READ COMMITTED")
            yield PostgresUnitOfWork(
                session,
                node_id,
                PostgresPayments(session),
                PostgresIdempotency(session),
                PostgresOutbox(session),
                PostgresFence(session),
                PostgresPositions(session),
            )
            session.run("COMMIT")
        except Unavailable:
            self.close()  # the server may be a standby now: the next unit looks for the primary
            raise
        except BaseException:
            self._roll_back(session)
            raise

    def connect(self) -> tuple[Session, int]:
        """The connection and its node id; the first call opens the connection.

        Raises:
            Misconfigured: Another running process holds the node id.
            Unavailable: The database cannot be reached, or (halt) the clocks differ.
        """
        if self._session is None or self._lease is None:
            session = Session.open(self._target, self._timeouts, self._tls)
            try:
                self._report_encoding(session)
                self._compare_clocks(session)
                self._lease = self._take_node_id(session)
                self._name(session, self._lease)
            except BaseException:
                session.close()
                raise
            self._session = session
        return self._session, self._lease

    def close(self) -> None:
        """Close the connection and give the node id back."""
        if self._session is not None:
            self._session.close()
            self._session = None  # the lease stays: it shows that this was not the first start

    def _roll_back(self, session: Session) -> None:
        try:
            if not session.broken:
                session.run("ROLLBACK")
        except Unavailable:
            session.broken = True
        if session.broken:
            self.close()

    def _report_encoding(self, session: Session) -> None:
        if self._lease is None and (shortfall := encoding_shortfall(session.encoding)):
            self._notify(f"PostgreSQL at {self._target.label}: {shortfall}")

    def _compare_clocks(self, session: Session) -> None:
        before = self._now()
        ((theirs,),) = session.run("SELECT clock_timestamp()")
        apart = max(before - theirs, theirs - self._now()).total_seconds()
        if apart > self._clock_skew:
            raise Unavailable(
                f"this machine's clock and the database's are {apart:.0f} seconds apart:"
                " correct the clock, because payment ids contain the time",
                halt=True,
            )

    def _name(self, session: Session, node_id: int) -> None:
        name = self._target.session_name(node_id)
        session.run("SELECT set_config('application_name', :name, false)", name=name)

    def _take_node_id(self, session: Session) -> int:
        rows = session.run(
            "SELECT id FROM unnest(:ids::int[]) AS id"
            " WHERE pg_try_advisory_lock(:locks::int, id) LIMIT 1",
            ids=list(self._node_ids),
            locks=NODE_LOCKS,
        )
        if rows:
            return int(rows[0][0])
        reason = f"node id {self._node_ids[0]} is taken"
        if self._lease is None:
            raise Misconfigured(reason, code="node-id-taken")
        raise Unavailable(reason, code="node-id-taken")
