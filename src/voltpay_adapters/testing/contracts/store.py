"""The contract of a payment database: a unit of work and its stores."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, suppress
from datetime import timedelta
from decimal import Decimal
from typing import Protocol, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voltpay_adapters.testing.faults import Crash
from voltpay_adapters.testing.strategies import new_payments, texts
from voltpay_adapters.testing.tables import Tables, rows_of
from voltpay_core.errors import Fenced, Misconfigured, PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import NODE_IDS, PaymentIdGenerator
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.ports import PaymentDatabase, PurgeStep, UnitOfWork
from voltpay_core.records import Partition

T = TypeVar("T")

ONE, TWO, OTHER = Partition("payments", 0), Partition("payments", 1), Partition("others", 0)
CANARY = "canary-4711"
EXAMPLES = settings(max_examples=30)

_ids = PaymentIdGenerator(lambda: time.time_ns() // 1_000_000)


class StoreHarness(Protocol):
    """One empty database of a test's own."""

    def open(self, node_ids: Sequence[int] = NODE_IDS) -> PaymentDatabase:
        """Another database object; the harness closes what a test leaves open."""

    def refuse(self, account_id: int) -> None:
        """Make the database reject the payments of that account, by a trigger."""

    def age_claims(self, by: timedelta) -> None:
        """Make every claim older by this time."""

    def age_outbox(self, by: timedelta) -> None:
        """Make every outbox row older by this time."""

    def tables(self) -> Tables:
        """All committed rows."""

    def close(self) -> None:
        """Close what is open."""


class StoreContract:
    """The laws of a unit of work on one connection, for a subclass with a fixture ``harness``."""

    @pytest.fixture
    def database(self, harness: StoreHarness) -> PaymentDatabase:
        return harness.open()

    # The unit of work

    def test_a_clean_exit_commits_everything(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """After a clean exit all changes are committed, and others see them."""
        with database.begin() as work:
            payment = fill(work)
        assert holds(harness.tables(), payment)

    @pytest.mark.parametrize("failure", [ValueError, Rejected, Crash, KeyboardInterrupt])
    def test_any_other_exit_leaves_nothing(
        self, harness: StoreHarness, database: PaymentDatabase, failure: type[BaseException]
    ) -> None:
        """Any exception rolls the whole transaction back, and the next transaction works."""
        error = failure("code", "reason")
        with pytest.raises(failure) as caught:
            fill_and_fail(database, error)
        assert caught.value is error
        assert harness.tables() == Tables()
        with database.begin() as work:
            payment = fill(work)
        assert holds(harness.tables(), payment)

    def test_a_closed_database_opens_again(self, database: PaymentDatabase) -> None:
        """`begin` connects where there is no usable connection."""
        with database.begin() as work:
            node_id = work.node_id
        database.close()
        with database.begin() as work:
            assert work.node_id == node_id
            assert 0 <= node_id <= 999

    # Savepoints

    @pytest.mark.parametrize("failure", [ValueError, Rejected, Crash])
    def test_a_savepoint_takes_back_what_is_inside_alone(
        self, harness: StoreHarness, database: PaymentDatabase, failure: type[BaseException]
    ) -> None:
        """An exception undoes what happened inside the savepoint and nothing before or after it."""
        with database.begin() as work:
            work.idempotency.claim(["before"])
            with suppress(failure), work.savepoint():
                fill(work)
                raise failure("code", "reason")
            work.idempotency.claim(["after"])
        assert harness.tables() == Tables(claims=("after", "before"))

    def test_what_a_savepoint_released_lasts(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """Changes in a savepoint that ended without an exception are committed with the rest."""
        with database.begin() as work, work.savepoint():
            payment = fill(work)
        assert holds(harness.tables(), payment)

    def test_savepoints_nest(self, harness: StoreHarness, database: PaymentDatabase) -> None:
        """An inner savepoint undoes itself alone, an outer one its inner ones too."""
        with database.begin() as work:
            with suppress(ZeroDivisionError), work.savepoint():
                with work.savepoint():
                    work.idempotency.claim(["inner"])
                raise ZeroDivisionError
            with work.savepoint():
                work.idempotency.claim(["outer"])
                with suppress(ZeroDivisionError), work.savepoint():
                    work.idempotency.claim(["undone"])
                    raise ZeroDivisionError
        assert harness.tables().claims == ("outer",)

    # Payments

    @EXAMPLES
    @given(stated=st.lists(new_payments(), max_size=5))
    def test_what_is_stored_is_what_was_stated(
        self, harness: StoreHarness, database: PaymentDatabase, stated: list[NewPayment]
    ) -> None:
        """Each payment has one row in each of the three tables, with its exact amount and texts."""
        payments = [Payment(_ids.mint(7), payment) for payment in stated]
        with database.begin() as work:
            work.payments.add(payments)
        tables = harness.tables()
        for payment in payments:
            core, metadata, notes = rows_of(payment)
            assert core in tables.core
            assert metadata in tables.metadata
            assert notes in tables.notes
        ids = [row.id for row in tables.core]
        assert len(set(ids)) == len(ids) == len(tables.metadata) == len(tables.notes)

    def test_a_taken_id_is_told_apart(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """An id that is stored already raises `PaymentIdTaken`, and none of its batch stays."""
        first, second = a_payment(1), a_payment(2)
        with database.begin() as work:
            work.payments.add([first])
            with pytest.raises(PaymentIdTaken), work.savepoint():
                work.payments.add([second, first])
        assert [row.id for row in harness.tables().core] == [first.id.text]
        assert len(harness.tables().metadata) == len(harness.tables().notes) == 1

    def test_a_refused_payment_hurts_nobody_else(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """A rejection by the database is `Rejected`, without a value; the transaction goes on."""
        harness.refuse(13)
        good, bad, later = a_payment(1), a_payment(13), a_payment(2)
        with database.begin() as work:
            with pytest.raises(Rejected) as caught, work.savepoint():
                work.payments.add([good, bad])
            work.payments.add([later])
        assert not isinstance(caught.value, PaymentIdTaken)
        assert caught.value.code == "refused-by-database"
        assert CANARY not in f"{caught.value!r} {caught.value.reason} {caught.value.constraint}"
        assert holds(harness.tables(), later)
        assert len(harness.tables().core) == 1

    def test_a_refusal_without_a_savepoint_takes_everything(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """A rejection that leaves the block rolls the whole unit of work back."""
        harness.refuse(13)
        with suppress(Rejected), database.begin() as work:
            work.idempotency.claim(["m"])
            work.payments.add([a_payment(13)])
        assert harness.tables() == Tables()

    # Claims

    @EXAMPLES
    @given(
        transactions=st.lists(
            st.tuples(st.lists(texts(255), max_size=6, unique=True).map(sorted), st.booleans()),
            max_size=6,
        )
    )
    def test_a_key_is_free_once(
        self,
        harness: StoreHarness,
        database: PaymentDatabase,
        transactions: list[tuple[list[str], bool]],
    ) -> None:
        """A claim returns exactly the free keys, and holds them unless it is rolled back."""
        held = set(harness.tables().claims)
        for keys, commits in transactions:
            try:
                with database.begin() as work:
                    assert work.idempotency.claim(keys) == set(keys) - held
                    assert work.idempotency.claim(keys) == set()
                    if not commits:
                        raise Crash  # noqa: TRY301 - a roll-back is what is tried
            except Crash:
                continue
            held |= set(keys)
        assert set(harness.tables().claims) == held

    def test_many_keys_are_claimed_at_once(self, database: PaymentDatabase) -> None:
        """A whole batch of keys is claimed in one call."""
        keys = sorted(f"{number}-{'x' * 240}" for number in range(3000))
        with database.begin() as work:
            assert work.idempotency.claim(keys[::2]) == set(keys[::2])
            assert work.idempotency.claim(keys) == set(keys[1::2])

    def test_a_purge_takes_the_old_in_chunks(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """A purge deletes only old enough claims, at most its limit, and returns the number."""
        week = timedelta(days=7)
        with database.begin() as work:
            work.idempotency.claim(["a", "b", "c"])
        harness.age_claims(timedelta(days=8))
        with database.begin() as work:
            work.idempotency.claim(["young"])
            assert work.idempotency.expired(week) == 3
            first = work.idempotency.purge(week, 2)
            assert first.deleted == 2
            assert first.rest is not None
            assert work.idempotency.expired(week) == 1
            assert work.idempotency.purge(week, 2, first.rest) == PurgeStep(1, None)
            assert work.idempotency.purge(week, 2) == PurgeStep(0, None)
        assert harness.tables().claims == ("young",)

    def test_a_purge_spares_what_the_outbox_may_repeat(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """Claims that are newer than the oldest outbox row are kept, whatever their age."""
        week = timedelta(days=7)
        with database.begin() as work:
            work.idempotency.claim(["older"])
        harness.age_claims(timedelta(days=1))
        with database.begin() as work:
            work.idempotency.claim(["as old"])
            rows = work.outbox.put({ONE: b"waits"})
        harness.age_claims(timedelta(days=8))
        harness.age_outbox(timedelta(days=8))
        with database.begin() as work:
            assert work.idempotency.expired(week) == 1
            assert work.idempotency.purge(week, 10) == PurgeStep(1, None)
        assert harness.tables().claims == ("as old",)
        with database.begin() as work:
            work.outbox.delete(rows)
            assert work.idempotency.purge(week, 10) == PurgeStep(1, None)

    def test_a_purge_reaches_every_claim(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """The steps of a purge reach all claims, also in a table of many pages, and end."""
        week = timedelta(days=7)
        with database.begin() as work:
            work.idempotency.claim([f"{number:0255}" for number in range(500)])
        harness.age_claims(timedelta(days=8))
        deleted = 0
        rest: int | None = 0
        with database.begin() as work:
            while rest is not None:
                step = work.idempotency.purge(week, 110, rest)
                assert step.deleted <= 110
                deleted, rest = deleted + step.deleted, step.rest
            assert work.idempotency.expired(week) == 0
        assert deleted == 500

    # The outbox

    @EXAMPLES
    @given(payload=st.binary(max_size=2000))
    def test_a_payload_keeps_its_bytes(self, database: PaymentDatabase, payload: bytes) -> None:
        """The outbox returns payloads byte for byte."""
        with database.begin() as work:
            (row,) = work.outbox.put({ONE: payload})
        with database.begin() as work:
            (waiting,) = work.outbox.pending({ONE})
            assert (waiting.id, waiting.payload) == (row, payload)
            work.outbox.delete([row])

    def test_rows_wait_in_order_and_by_partition(self, database: PaymentDatabase) -> None:
        """Pending rows come in the order of their insertion, and only for the given partitions."""
        with database.begin() as work:
            work.outbox.put({ONE: b"1", TWO: b"2"})
            work.outbox.put({ONE: b"3", OTHER: b"4"})
            assert work.outbox.put({}) == frozenset()
        with database.begin() as work:
            assert [row.payload for row in work.outbox.pending({ONE})] == [b"1", b"3"]
            assert [row.payload for row in work.outbox.pending({TWO, ONE})] == [b"1", b"2", b"3"]
            assert [row.payload for row in work.outbox.pending([OTHER])] == [b"4"]
            assert work.outbox.pending(set()) == []
            assert work.outbox.pending({Partition("payments", 2)}) == []

    def test_row_ids_rise_and_are_never_used_again(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """A new row's id is above all earlier ones, deleted or not; deleting twice is no error."""
        highest = 0
        for _ in range(3):
            with database.begin() as work:
                rows = work.outbox.put({ONE: b"1", TWO: b"2"})
            assert len(rows) == 2
            assert min(rows) > highest
            highest = max(rows)
            for _ in range(2):
                with database.begin() as work:
                    work.outbox.delete(rows)
        assert harness.tables().outbox == ()

    # The fence

    def test_epochs_rise_by_partition(self, database: PaymentDatabase) -> None:
        """A bump makes an epoch that was never used before, and only for these partitions."""
        with database.begin() as work:
            first = work.fence.bump_epochs([ONE, TWO])
        with database.begin() as work:
            second = work.fence.bump_epochs([ONE])
            assert work.fence.bump_epochs([]) == {}
        assert first.keys() == {ONE, TWO}
        assert second.keys() == {ONE}
        assert second[ONE] > first[ONE]
        with database.begin() as work:
            work.fence.hold({**first, **second})

    def test_whoever_was_overtaken_is_fenced(self, database: PaymentDatabase) -> None:
        """Epochs that are not current are fenced, and `Fenced` names exactly their partitions."""
        with database.begin() as work:
            old = work.fence.bump_epochs([ONE, TWO])
        with database.begin() as work:
            work.fence.bump_epochs([TWO])
        for epochs, fenced in ((old, {TWO}), ({**old, OTHER: 1}, {TWO, OTHER})):
            with pytest.raises(Fenced) as caught, database.begin() as work:
                work.fence.hold(epochs)
            assert caught.value.partitions == fenced
        with database.begin() as work:
            work.fence.hold({ONE: old[ONE]})
            work.fence.hold({})

    def test_a_position_outlives_its_owner(self, database: PaymentDatabase) -> None:
        """There is no position before the first; a later owner finds the last one set."""
        with database.begin() as work:
            assert work.positions.load(ONE) is None
            work.fence.bump_epochs([ONE, TWO])
            assert work.positions.load(ONE) is None
            work.positions.save(ONE, 2**40)
        with database.begin() as work:
            work.fence.bump_epochs([ONE])
            assert work.positions.load(ONE) == 2**40
            assert work.positions.load(TWO) is None

    def test_a_position_needs_no_owner(self, database: PaymentDatabase) -> None:
        """A position can be saved before any epoch is bumped, and gives nobody the partition."""
        with database.begin() as work:
            work.positions.save(ONE, 5)
            work.positions.save(ONE, 7)
        with database.begin() as work:
            assert work.positions.load(ONE) == 7
            epochs = work.fence.bump_epochs([ONE])
            work.fence.hold(epochs)
            assert work.positions.load(ONE) == 7


class SharedStoreContract(StoreContract):
    """The laws of a database that several processes open at once."""

    @pytest.fixture
    def rivals(self) -> Iterator[ThreadPoolExecutor]:
        with ThreadPoolExecutor(1) as pool:
            yield pool

    def test_open_databases_never_share_a_node_id(self, harness: StoreHarness) -> None:
        """No two open databases hold the same node id; a closed one releases its id."""
        first, second = harness.open(), harness.open()
        with first.begin() as work:
            taken = work.node_id
        with second.begin() as work:
            assert work.node_id != taken
        first.close()
        with harness.open((taken,)).begin() as work:
            assert work.node_id == taken

    def test_a_held_node_id_cannot_be_asked_for(self, harness: StoreHarness) -> None:
        """A process that asks for the node id of another one does not start."""
        with harness.open((7,)).begin() as work:
            assert work.node_id == 7
        with pytest.raises(Misconfigured, match="7"), harness.open((7,)).begin():
            pytest.fail("two hold one node id")

    def test_the_first_free_node_id_is_taken(self, harness: StoreHarness) -> None:
        """A process gets the first free one of the given node ids, in their order."""
        with harness.open((7,)).begin():
            pass
        for wanted, got in (((7, 9, 8), 9), ((9, 8, 7), 8)):
            with harness.open(wanted).begin() as work:
                assert work.node_id == got

    def test_what_is_not_committed_is_nobody_elses(
        self, harness: StoreHarness, database: PaymentDatabase
    ) -> None:
        """Others see a unit of work only after its commit."""
        with database.begin() as work:
            payment = fill(work)
            assert harness.tables() == Tables()
        assert holds(harness.tables(), payment)

    def test_raising_an_epoch_waits_for_its_holder(
        self, harness: StoreHarness, database: PaymentDatabase, rivals: ThreadPoolExecutor
    ) -> None:
        """A bump waits for the transaction of the current owner."""
        with database.begin() as work:
            epochs = work.fence.bump_epochs([ONE])
        with database.begin() as work:
            work.fence.hold(epochs)
            rival = rivals.submit(alone, harness, lambda work: work.fence.bump_epochs([ONE]))
            assert waits(rival)
            fill(work)
        assert rival.result(30)[ONE] > epochs[ONE]
        with pytest.raises(Fenced), database.begin() as work:
            work.fence.hold(epochs)

    @pytest.mark.parametrize("commits", [True, False])
    def test_one_of_two_claimants_gets_a_key(
        self,
        harness: StoreHarness,
        database: PaymentDatabase,
        rivals: ThreadPoolExecutor,
        commits: bool,
    ) -> None:
        """A key that another transaction is claiming is free only if that one rolls back."""
        with database.begin() as work:
            work.idempotency.claim(["before"])
        with suppress(Crash), database.begin() as work:
            assert work.idempotency.claim(["m"]) == {"m"}
            rival = rivals.submit(alone, harness, lambda work: work.idempotency.claim(["m"]))
            assert waits(rival)
            if not commits:
                raise Crash
        assert rival.result(30) == (set() if commits else {"m"})

    def test_a_lease_that_another_took_is_not_taken_again(self, harness: StoreHarness) -> None:
        """A process whose node id was taken by another one cannot connect, and writes nothing."""
        first, second = harness.open((7,)), harness.open((7,))
        first.connect()
        first.close()
        second.connect()
        for _ in range(2):
            with pytest.raises((Misconfigured, Unavailable)), first.begin() as work:
                fill(work)
        assert harness.tables() == Tables()
        second.close()
        with first.begin() as work:
            assert work.node_id == 7

    def test_connecting_again_changes_nothing(self, harness: StoreHarness) -> None:
        """An open connection stays open and keeps its node id."""
        database = harness.open((8, 9))
        assert database.connect() == database.connect()
        with database.begin() as work:
            assert work.node_id == 8
        database.connect()
        with database.begin() as work:
            assert work.node_id == 8

    @pytest.mark.parametrize("position", ["before", "after"])
    def test_an_epoch_bumped_between_two_units_fences(
        self, harness: StoreHarness, database: PaymentDatabase, position: str
    ) -> None:
        """The next unit of a former owner is fenced, and nothing of it is committed."""
        with database.begin() as work:
            former = work.fence.bump_epochs([ONE, TWO])
        with database.begin() as work:
            work.fence.hold(former)
        current = alone(harness, lambda work: work.fence.bump_epochs([ONE]))
        before = harness.tables()
        with pytest.raises(Fenced) as caught, database.begin() as work:  # noqa: PT012 - one unit
            if position == "after":
                work.idempotency.claim(["m"])
                work.payments.add([a_payment(1)])
                work.outbox.put({TWO: b"x"})
                work.positions.save(TWO, 5)
            work.fence.hold(former)
        assert caught.value.partitions == {ONE}
        assert caught.value.code == "epoch-bumped"
        assert harness.tables() == before
        alone(harness, lambda work: work.fence.hold({**former, **current}))


class RemoteStoreHarness(StoreHarness, Protocol):
    """A database behind a connection that can break."""

    def disconnect(self, database: PaymentDatabase) -> None:
        """Break the connection from the other end; on return its lease and locks are free."""


class RemoteStoreContract(SharedStoreContract):
    """The laws of a database behind a connection that can break."""

    def test_a_lease_is_taken_again_after_a_reconnect(self, harness: RemoteStoreHarness) -> None:
        """A process whose connection breaks connects again and leases its node id again."""
        database = harness.open((7,))
        database.connect()
        harness.disconnect(database)
        with suppress(Unavailable), database.begin():
            pass
        with database.begin() as work:
            assert work.node_id == 7
            with pytest.raises(Misconfigured, match="7"):
                harness.open((7,)).connect()

    def test_a_lease_that_another_took_meanwhile_is_lost(self, harness: RemoteStoreHarness) -> None:
        """If another process holds the node id by then, nothing is written under this id."""
        first, second = harness.open((7,)), harness.open((7,))
        first.connect()
        harness.disconnect(first)
        second.connect()
        for _ in range(3):
            with pytest.raises((Misconfigured, Unavailable)), first.begin() as work:
                fill(work)
        assert harness.tables() == Tables()
        with second.begin() as work:
            payment = fill(work)
        assert holds(harness.tables(), payment)

    def test_a_connection_lost_within_a_unit_leaves_nothing(
        self, harness: RemoteStoreHarness
    ) -> None:
        """Another process gets its node id and partitions at once, and its work is rolled back."""
        first, second = harness.open((7,)), harness.open((7,))
        with pytest.raises(Unavailable), first.begin() as work:  # noqa: PT012 - one unit
            fill(work)
            harness.disconnect(first)
            with second.begin() as other:
                assert other.node_id == 7
                payment = fill(other)
        assert holds(harness.tables(), payment)
        assert len(harness.tables().core) == 1

    def test_any_call_on_a_broken_connection_is_an_outage(
        self, harness: RemoteStoreHarness, database: PaymentDatabase
    ) -> None:
        """Any first call on a broken connection raises `Unavailable`, and nothing is committed."""
        week, nothing = timedelta(days=7), harness.tables()
        calls: list[Callable[[UnitOfWork], object]] = [
            lambda work: work.payments.add([a_payment(1)]),
            lambda work: work.idempotency.claim(["m"]),
            lambda work: work.idempotency.purge(week, 1),
            lambda work: work.outbox.put({ONE: b"x"}),
            lambda work: work.outbox.pending([ONE]),
            lambda work: work.outbox.delete([1]),
            lambda work: work.fence.bump_epochs([ONE]),
            lambda work: work.fence.hold({ONE: 1}),
            lambda work: work.positions.save(ONE, 1),
            lambda work: work.positions.load(ONE),
        ]
        for call in calls:
            with pytest.raises(Unavailable) as caught, database.begin() as work:  # noqa: PT012
                harness.disconnect(database)
                call(work)
            assert not caught.value.halt
            assert harness.tables() == nothing


def fill(work: UnitOfWork) -> Payment:
    """Put something into every table."""
    payment = a_payment(1)
    work.fence.bump_epochs([ONE])
    work.idempotency.claim([payment.stated.message_id])
    work.payments.add([payment])
    work.outbox.put({ONE: b"\x90"})
    return payment


def fill_and_fail(database: PaymentDatabase, error: BaseException) -> None:
    with database.begin() as work:
        fill(work)
        raise error


def holds(tables: Tables, payment: Payment) -> bool:
    """True where `fill`, or more, is committed."""
    core, metadata, notes = rows_of(payment)
    return core in tables.core and metadata in tables.metadata and notes in tables.notes


def a_payment(account_id: int) -> Payment:
    return Payment(
        _ids.mint(0),
        NewPayment(
            f"message of {account_id}",
            account_id,
            Decimal("12.50"),
            "EUR",
            Status.SUCCESS,
            "VSA",
            comment=CANARY,
        ),
    )


def alone(harness: StoreHarness, act: Callable[[UnitOfWork], T]) -> T:
    """Do it in a unit of work on a connection of this thread's own."""
    with closing(harness.open()) as database, database.begin() as work:
        return act(work)


def waits(rival: Future[T]) -> bool:
    """True where it has not ended after a while."""
    try:
        rival.result(0.3)
    except TimeoutError:
        return True
    return False
