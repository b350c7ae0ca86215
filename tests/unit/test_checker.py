"""The checker finds each kind of violation in a history that is broken by hand."""

from collections.abc import Callable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from tests.harness.checker import History, violations
from tests.harness.histories import HISTORY
from tests.harness.sqlite import SqliteHarness
from tests.harness.strategies import REFUSED
from tests.harness.world import RunOptions, World

from voltpay_adapters.testing.tables import WaitingRow
from voltpay_core.codec import EVENT_ID_HEADER, Codec, pack
from voltpay_core.ids import PaymentId
from voltpay_core.outcomes import Written
from voltpay_core.payments import Payment
from voltpay_core.records import ProducerRecord

Break = Callable[[History], History]
READ, EMAIL, DEAD = "payment_read_topic", "payment_email", "payment_writer_dlq"
BREAKS: list[tuple[str, Break]] = []


@pytest.fixture
def whole() -> Iterator[History]:
    with closing(SqliteHarness()) as harness:
        world = World(harness, refused=frozenset({REFUSED}))
        world.produce(HISTORY)
        world.run(RunOptions(batch_size=4))
        yield world.history()


def breaking(said: str) -> Callable[[Break], Break]:
    """A way to break a history, and part of what must be said of it."""

    def register(how: Break) -> Break:
        BREAKS.append((said, how))
        return how

    return register


def on(history: History, topic: str) -> list[ProducerRecord]:
    return [event for event in history.published if event.topic == topic]


def without(history: History, event: ProducerRecord) -> History:
    return evolve(history, published=[item for item in history.published if item is not event])


def changed(history: History, event: ProducerRecord, by: ProducerRecord) -> History:
    return evolve(history, published=[by if item is event else item for item in history.published])


def tables(history: History, **changes: Any) -> History:
    return evolve(history, tables=evolve(history.tables, **changes))


@breaking("G2: payment")
def a_lost_read_event(history: History) -> History:
    return without(history, on(history, READ)[1])


@breaking("has no e-mail event")
def a_lost_email_event(history: History) -> History:
    return without(history, on(history, EMAIL)[0])


@breaking("G6: nothing became of the record")
def a_lost_dead_letter(history: History) -> History:
    return evolve(without(history, on(history, DEAD)[0]), acknowledged={})


@breaking("nothing became of it")
def an_offset_ahead_of_the_work(history: History) -> History:
    return evolve(without(history, on(history, DEAD)[0]), finished=False)


@breaking("acknowledged before it was told of")
def an_offset_ahead_of_the_events(history: History) -> History:
    row = WaitingRow(1, history.produced[0].partition, pack(list(history.published)))
    return evolve(tables(history, outbox=[row]), published=[], finished=False)


@breaking("which has no row")
def an_event_of_a_payment_rolled_back(history: History) -> History:
    gone = history.tables
    return tables(history, core=gone.core[1:], metadata=gone.metadata[1:], notes=gone.notes[1:])


@breaking("tells of what nobody produced")
def an_event_of_nothing(history: History) -> History:
    event = on(history, READ)[0]
    return changed(
        history, event, evolve(event, value=(event.value or b"").replace(b"1.50", b"1.51"))
    )


@breaking("tells of what nobody produced")
def an_event_under_another_key(history: History) -> History:
    event = on(history, EMAIL)[0]
    return changed(history, event, evolve(event, key=b"7"))


@breaking("(1, 0, 1) rows")
def a_payment_without_metadata(history: History) -> History:
    return tables(history, metadata=history.tables.metadata[1:])


@breaking("(1, 1, 0) rows")
def a_payment_without_notes(history: History) -> History:
    return tables(history, notes=history.tables.notes[:-1])


@breaking("(0, 1, 1) rows")
def a_payment_without_a_core(history: History) -> History:
    return tables(history, core=history.tables.core[:-1])


@breaking("stored otherwise")
def a_rounded_amount(history: History) -> History:
    first, *others = history.tables.core
    return tables(history, core=[evolve(first, amount=Decimal(2)), *others])


@breaking("became 2 payments")
def a_doubled_payment(history: History) -> History:
    """The same message written again under a fresh id, with its rows and events."""
    row, metadata, note = (
        rows[0] for rows in (history.tables.core, history.tables.metadata, history.tables.notes)
    )
    other = row.id[:-3] + "999"
    events = [
        evolve(
            event,
            value=(event.value or b"").replace(row.id.encode(), other.encode()),
            headers=tuple(
                (name, (value or b"").replace(row.id.encode(), other.encode()))
                for name, value in event.headers
            ),
        )
        for event in history.published
        if row.id.encode() in (event.value or b"")
    ]
    more = tables(
        history,
        core=[*history.tables.core, evolve(row, id=other)],
        metadata=[*history.tables.metadata, evolve(metadata, id=other)],
        notes=[*history.tables.notes, evolve(note, id=other)],
    )
    return evolve(more, published=[*history.published, *events])


@breaking("could be written again")
def a_lost_claim(history: History) -> History:
    claims = [claim for claim in history.tables.claims if claim != "a"]
    return tables(history, claims=claims)


@breaking("there is no payment of it")
def a_claim_that_outlived_its_roll_back(history: History) -> History:
    return tables(history, claims=[*history.tables.claims, "d"])


@breaking("there is none")
def a_claimed_dead_letter_that_never_came(history: History) -> History:
    return tables(history, claims=[*history.tables.claims, "dead:00"])


@breaking("told of again")
def an_event_repeated_without_reason(history: History) -> History:
    return evolve(history, published=[*history.published, on(history, READ)[0]])


@breaking("told of again")
def a_dead_letter_repeated_without_reason(history: History) -> History:
    return evolve(history, published=[*history.published, on(history, DEAD)[0]])


@breaking("told of again")
def an_email_repeated_without_reason(history: History) -> History:
    return evolve(history, published=[*history.published, on(history, EMAIL)[0]])


@breaking("is not the event that it repeats")
def a_repeat_that_says_something_else(history: History) -> History:
    event = on(history, READ)[0]
    other = evolve(event, value=(event.value or b"").replace(b"1.50", b"1.51"))
    return evolve(history, published=[*history.published, other], most_repeats=9)


@breaking("tells of what nobody produced")
def a_repeat_under_another_id(history: History) -> History:
    event = on(history, READ)[0]
    other = evolve(event, headers=((EVENT_ID_HEADER, b"other"),))
    return evolve(history, published=[*history.published, other], most_repeats=9)


@breaking("dead-lettered anew")
def a_dead_letter_made_twice(history: History) -> History:
    event = on(history, DEAD)[0]
    again = evolve(event, headers=(*event.headers[:-1], ("voltpay-dlq-failed-at", b"later")))
    return evolve(history, published=[*history.published, again], most_repeats=9)


@breaking("overtook another")
def events_out_of_order(history: History) -> History:
    mine = [event for event in on(history, READ) if event.key == b"1"]
    others = [event for event in history.published if event not in mine]
    return evolve(history, published=[*others, *reversed(mine)])


@breaking("not what was produced")
def a_changed_dead_letter(history: History) -> History:
    event = on(history, DEAD)[0]
    return changed(history, event, evolve(event, value=b"other"))


@breaking("names no record")
def a_dead_letter_of_nothing(history: History) -> History:
    event = on(history, DEAD)[0]
    foreign = (*event.headers, ("__connect.errors.offset", b"99"))
    return changed(history, event, evolve(event, headers=foreign))


@breaking("a good payment")
def a_false_dead_letter(history: History) -> History:
    return evolve(history, refused=frozenset())


@breaking("in place of")
def a_dead_letter_with_the_wrong_code(history: History) -> History:
    event = next(event for event in on(history, DEAD) if event.value == b"poison")
    wrong = (*event.headers, ("voltpay-dlq-code", b"too-large"))
    return changed(history, event, evolve(event, headers=wrong))


@breaking("is a payment and a dead letter")
def a_record_with_two_ends(history: History) -> History:
    """The rejected message is written nevertheless, and its read event is published."""
    record = next(item for item in history.produced if item.key == str(REFUSED).encode())
    stated = history.codec.decode_payment(record.value)
    payment = Payment(PaymentId.parse(history.tables.core[0].id), stated)
    told = history.codec.events(Written(record, payment))
    return evolve(history, published=[*history.published, *told])


@breaking("not acknowledged up to its end")
def a_lag(history: History) -> History:
    acknowledged = {place: offset - 1 for place, offset in history.acknowledged.items()}
    return evolve(history, acknowledged=acknowledged)


@breaking("acknowledged beyond its end")
def an_offset_beyond_the_end(history: History) -> History:
    acknowledged = {place: offset + 1 for place, offset in history.acknowledged.items()}
    return evolve(history, acknowledged=acknowledged)


@breaking("never raised its fence")
def a_write_without_a_fence(history: History) -> History:
    return tables(history, fence={})


@breaking("a field without a value")
def an_empty_comment(history: History) -> History:
    """The wire itself goes wrong, so that the event is what it was meant to be."""

    class Wrong(Codec):
        def events(self, written: Written) -> list[ProducerRecord]:
            return [empty(event) for event in super().events(written)]

    def empty(event: ProducerRecord) -> ProducerRecord:
        return evolve(event, value=(event.value or b"")[:-1] + b',"more":""}')

    published = [event if event.topic == DEAD else empty(event) for event in history.published]
    return evolve(history, published=published, codec=Wrong(history.codec.topics))


@breaking("left in the outbox")
def a_row_left_in_the_outbox(history: History) -> History:
    row = WaitingRow(99, history.produced[0].partition, pack([]))
    return tables(history, outbox=[row])


def test_a_whole_history_has_no_violations(whole: History) -> None:
    """A correct history has no violation."""
    assert violations(whole) == []


def test_what_waits_in_the_outbox_is_not_lost(whole: History) -> None:
    """Events that are committed and not yet published break nothing before the end."""
    row = WaitingRow(1, whole.produced[0].partition, pack(list(whole.published)))
    waiting = evolve(tables(whole, outbox=[row]), published=[], acknowledged={}, finished=False)
    assert violations(waiting) == []


def test_as_many_repeats_as_may_be(whole: History) -> None:
    """The same events again, within bounds, break nothing."""
    again = evolve(whole, published=[*whole.published, *whole.published])
    assert violations(evolve(again, most_repeats=20)) == []
    assert violations(evolve(again, most_repeats=None)) == []


@pytest.mark.parametrize(("said", "how"), BREAKS, ids=[how.__name__ for _, how in BREAKS])
def test_each_break_is_seen(whole: History, said: str, how: Break) -> None:
    """Every violation is reported with the guarantee that it breaks."""
    found = violations(how(whole))
    assert [violation for violation in found if said in violation]
