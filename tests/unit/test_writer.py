"""The writer: claims, rows, bisection and the outbox."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from attrs import define, field
from tests.harness.sqlite import SqliteHarness

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec, unpack
from voltpay_core.errors import Fenced, PaymentIdTaken, Rejected, Unavailable
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, Decoded, DecodedPayment, Duplicate, Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.ports import BeginUnitOfWork, UnitOfWork
from voltpay_core.records import Partition, Record
from voltpay_core.writer import PaymentWriter, dead_letter_key

PLACE, OTHER = Partition("payments", 0), Partition("payments", 1)
EPOCHS = {PLACE: 1, OTHER: 1}
NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)


@pytest.fixture
def harness() -> Iterator[SqliteHarness]:
    with closing(SqliteHarness()) as harness:
        with harness.open().begin() as work:
            work.fence.bump_epochs([PLACE, OTHER])
        yield harness


def a_writer(begin: BeginUnitOfWork, breaker: int = 20) -> PaymentWriter:
    return PaymentWriter(
        begin, Codec(), PaymentIdGenerator(lambda: 1_700_000_000_000), lambda: NOW, Breaker(breaker)
    )


def message(
    offset: int, message_id: str, account_id: int = 1, place: Partition = PLACE
) -> DecodedPayment:
    payment = NewPayment(message_id, account_id, Decimal(1), "EUR", Status.PENDING, "VSA")
    value = Codec().encode_payment(payment)
    return DecodedPayment(Record(place, offset, 0, str(account_id).encode(), value), payment)


def letter(offset: int, value: bytes = b"poison") -> DeadLettered:
    return DeadLettered(Record(PLACE, offset, 0, b"1", value), Rejected("bad-json", "no JSON"))


def kinds(outcomes: Sequence[object]) -> list[type]:
    return [type(outcome) for outcome in outcomes]


def test_the_first_of_a_message_id_is_the_payment(harness: SqliteHarness) -> None:
    """Within a unit the first record of a message id is written, and each later one a duplicate."""
    writer = a_writer(harness.open().begin)
    committed = writer.write([message(0, "b"), message(1, "a"), message(2, "b")], EPOCHS, [])
    assert kinds(committed.outcomes) == [Written, Written, Duplicate]
    assert [outcome.record.offset for outcome in committed.outcomes] == [0, 1, 2]
    again = writer.write([message(3, "a", 2), letter(4), letter(5)], EPOCHS, [])
    assert kinds(again.outcomes) == [Duplicate, DeadLettered, DeadLettered]


def test_what_is_committed_waits_in_the_outbox(harness: SqliteHarness) -> None:
    """The outbox holds exactly the unit's events, one row for each source partition."""
    writer = a_writer(harness.open().begin)
    unit: list[Decoded] = [message(0, "a"), message(0, "b", place=OTHER), letter(1)]
    committed = writer.write(unit, EPOCHS, [])
    rows = harness.tables().outbox
    assert {row.id for row in rows} == committed.rows
    assert {row.partition for row in rows} == {PLACE, OTHER}
    assert [event for row in rows for event in unpack(row.payload)] == list(committed.events)
    none = writer.write(unit, EPOCHS, committed.rows)
    assert (none.events, none.rows, harness.tables().outbox) == ([], frozenset(), ())


def test_a_fenced_unit_leaves_nothing(harness: SqliteHarness) -> None:
    """A unit with a partition that has a new owner changes nothing, its outbox rows included."""
    writer = a_writer(harness.open().begin)
    rows = writer.write([message(0, "a")], EPOCHS, []).rows
    with harness.open().begin() as work:
        work.fence.bump_epochs([OTHER])
    before = harness.tables()
    with pytest.raises(Fenced) as caught:
        writer.write([message(1, "b"), message(0, "c", place=OTHER)], EPOCHS, rows)
    assert caught.value.partitions == {OTHER}
    assert harness.tables() == before


def test_a_rejected_message_id_can_come_again(harness: SqliteHarness) -> None:
    """A dead letter claims its record and never its message id."""
    harness.refuse(13)
    writer = a_writer(harness.open().begin)
    refused = message(0, "a", 13)
    committed = writer.write([message(1, "b"), refused, message(2, "c", 2)], EPOCHS, [])
    assert kinds(committed.outcomes) == [Written, DeadLettered, Written]
    assert kinds(writer.write([refused], EPOCHS, []).outcomes) == [Duplicate]
    assert kinds(writer.write([message(3, "a")], EPOCHS, []).outcomes) == [Written]
    assert dead_letter_key(refused.record) in harness.tables().claims


def test_bisection_keeps_the_order(harness: SqliteHarness) -> None:
    """The other messages of the unit are written, with ids in their order (G3)."""
    harness.refuse(13)
    unit = [message(0, "a"), message(1, "b"), message(2, "c", 13), message(3, "d"), message(4, "e")]
    committed = a_writer(harness.open().begin).write(unit, EPOCHS, [])
    assert [outcome.record.offset for outcome in committed.outcomes] == [0, 1, 2, 3, 4]
    ids = [each.payment.id.text for each in committed.outcomes if isinstance(each, Written)]
    assert ids == sorted(ids)
    assert len(ids) == 4


@pytest.mark.parametrize(
    "other",
    [
        Record(Partition("another", 0), 5, 7, b"k", b"v"),
        Record(Partition("payments", 1), 5, 7, b"k", b"v"),
        Record(PLACE, 6, 7, b"k", b"v"),
        Record(PLACE, 5, 8, b"k", b"v"),
        Record(PLACE, 5, 7, None, b"v"),
        Record(PLACE, 5, 7, b"", b"v"),
        Record(PLACE, 5, 7, b"kv", b""),
        Record(PLACE, 5, 7, b"k", None),
        Record(PLACE, 5, 7, b"k", b""),
    ],
)
def test_every_part_of_a_record_counts(other: Record) -> None:
    """Two records share a dead letter's claim only if they are identical."""
    record = Record(PLACE, 5, 7, b"k", b"v")
    assert dead_letter_key(record) == dead_letter_key(Record(PLACE, 5, 7, b"k", b"v"))
    assert dead_letter_key(record) != dead_letter_key(other)
    assert len(dead_letter_key(record)) <= 255


@pytest.mark.parametrize(
    ("timestamp", "key"),
    [
        (None, "dead:71220061c283d9dc3f5b987c8c30beec595ac02ecdee96b12c82c09555aaa2e4"),
        (0, "dead:71220061c283d9dc3f5b987c8c30beec595ac02ecdee96b12c82c09555aaa2e4"),
        (-1, "dead:95685d47e841e470c35624f9580fb066b46847d20bf10fa1f99f6dcf0ac14081"),
        (
            1_700_000_000_000,
            "dead:d20bdf61f54b216d4373a83c3320d5ca3ebbefb65e1ee5abb8bb1e12ed2f89fe",
        ),
    ],
)
def test_the_keys_of_dead_letters_stay(timestamp: int | None, key: str) -> None:
    """Claim keys do not change between versions of the program."""
    assert dead_letter_key(Record(Partition("t", 0), 5, timestamp, b"k", b"v")) == key


def test_claims_are_sorted(harness: SqliteHarness) -> None:
    """Claims are sorted and unique, so that two transactions cannot deadlock."""
    asked: list[list[str]] = []

    @contextmanager
    def begin() -> Iterator[UnitOfWork]:
        with harness.open().begin() as work:
            real = work.idempotency.claim

            class Spy:
                @staticmethod
                def claim(keys: Sequence[str]) -> set[str]:
                    asked.append(list(keys))
                    return real(keys)

            object.__setattr__(work, "idempotency", Spy())
            yield work

    messages = [message(number, f"m{number % 7}") for number in range(20, 0, -1)]
    a_writer(begin).write([*messages, *map(letter, range(30, 50))], EPOCHS, [])
    assert [len(keys) for keys in asked] == [7, 20]
    assert all(keys == sorted(set(keys)) for keys in asked)


# A payment id that is taken


@define
class Colliding:
    """Rejects this number of payments because of their ids."""

    times: int
    begin_really: BeginUnitOfWork
    tried: list[str] = field(factory=list)

    @contextmanager
    def begin(self) -> Iterator[UnitOfWork]:
        with self.begin_really() as work:
            real = work.payments.add

            class Payments:
                @staticmethod
                def add(payments: Sequence[Payment]) -> None:
                    self.tried += [payment.id.text for payment in payments]
                    if self.times:
                        self.times -= 1
                        raise PaymentIdTaken("refused-by-database", "taken", sqlstate="23505")
                    real(payments)

            object.__setattr__(work, "payments", Payments())
            yield work


@pytest.mark.parametrize(("times", "kind"), [(0, Written), (1, Written), (2, DeadLettered)])
def test_a_collision_gets_one_new_id(
    harness: SqliteHarness, times: int, kind: type[object]
) -> None:
    """If a payment's id is taken, the payment is tried once more with a new id."""
    colliding = Colliding(times, harness.open().begin)
    committed = a_writer(colliding.begin).write([message(0, "a")], EPOCHS, [])
    assert kinds(committed.outcomes) == [kind]
    assert len(set(colliding.tried)) == len(colliding.tried) == min(times, 1) + 1


# The breaker


def test_equal_rejections_in_a_row_halt(harness: SqliteHarness) -> None:
    """At the limit of equal rejections the writer halts, and nothing of that unit is written."""
    harness.refuse(13)
    writer = a_writer(harness.open().begin, breaker=5)
    for number in range(4):
        writer.write([message(number, f"r{number}", 13)], EPOCHS, [])
    with pytest.raises(Unavailable) as caught:
        writer.write([message(4, "r4", 13), message(5, "good")], EPOCHS, [])
    assert caught.value.halt
    assert len([claim for claim in harness.tables().claims if claim.startswith("dead:")]) == 4
    assert harness.tables().core == ()


@pytest.mark.parametrize(("written", "halts"), [(2, True), (3, False)])
def test_as_many_payments_part_rejections(
    harness: SqliteHarness, written: int, halts: bool
) -> None:
    """`limit` payments between two rejections reset the counter; fewer payments do not."""
    harness.refuse(13)
    writer = a_writer(harness.open().begin, breaker=3)

    def refusals_apart() -> int:
        for row in range(6):
            writer.write([message(10 * row, f"r{row}", 13)], EPOCHS, [])
            for number in range(written):
                writer.write([message(10 * row + 1, f"g{row}-{number}")], EPOCHS, [])
            writer.write([letter(10 * row + 9)], EPOCHS, [])
        return row

    if halts:
        with pytest.raises(Unavailable):
            refusals_apart()
    else:
        assert refusals_apart() == 5


def test_a_unit_that_is_tried_again_counts_once(harness: SqliteHarness) -> None:
    """Rejections of a transaction that did not commit are not counted."""
    harness.refuse(13)
    failures = 5

    @contextmanager
    def begin() -> Iterator[UnitOfWork]:
        nonlocal failures
        with harness.open().begin() as work:
            yield work
            failures -= 1
            if failures >= 0:
                raise Unavailable("the answer never comes")

    writer = a_writer(begin, breaker=3)
    for _ in range(5):
        with pytest.raises(Unavailable, match="the answer never comes"):
            writer.write([message(0, "r", 13)], EPOCHS, [])
    assert kinds(writer.write([message(0, "r", 13)], EPOCHS, []).outcomes) == [DeadLettered]


@pytest.mark.parametrize(
    "refusals",
    [
        [("22001", None), ("22003", None)],
        [("23514", "one"), ("23514", "other")],
        [("23514", None), ("P0001", None)],
    ],
)
def test_unlike_rejections_do_not_add_up(refusals: list[tuple[str, str | None]]) -> None:
    """Only rejections with the same SQLSTATE and constraint are counted together."""
    refused = [
        DeadLettered(letter(0).record, Rejected("c", "r", sqlstate=sqlstate, constraint=constraint))
        for sqlstate, constraint in refusals * 3
    ]
    breaker = Breaker(2).after(refused)
    with pytest.raises(Unavailable, match=refusals[-1][0]):
        breaker.after(refused[-1:])


@pytest.mark.parametrize(
    ("record", "key"),
    [
        (
            Record(PLACE, 5, 7, b"k", b"v"),
            "523561cbbb2ff75d0c5cb5074fabad59a0ef6ffdd417ab4a68870be2644b6b28",
        ),
        (
            Record(PLACE, 5, None, None, None),
            "6d6ebdc53e0cae4989f6c5c702793583b065781f47ef512e2071a1cbc3f3b04a",
        ),
    ],
)
def test_a_dead_letters_claim_is_the_same_for_ever(record: Record, key: str) -> None:
    """A record that comes again after an update of the writer still finds its claim."""
    assert dead_letter_key(record) == f"dead:{key}"
