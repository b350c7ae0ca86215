"""When rejections of the database stop the writer: a table of what comes after what."""

from collections.abc import Sequence
from decimal import Decimal

import pytest

from voltpay_core.breaker import Breaker
from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, Duplicate, Outcome, Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.records import Partition, Record

RECORD = Record(Partition("in", 0), 0, 0, b"1", b"value")
NEW = NewPayment("m", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
KINDS = {"r": ("22001", None), "s": ("23514", None), "c": ("22001", "c"), "d": ("22001", "d")}
LIMIT = 3


def outcomes(history: str) -> Sequence[Outcome]:
    """A letter an outcome: written, duplicate, or rejected for one of the reasons."""
    return [
        Written(RECORD, Payment(PaymentIdGenerator(lambda: 0).mint(0), NEW))
        if letter == "w"
        else Duplicate(RECORD)
        if letter == "-"
        else DeadLettered(
            RECORD, Rejected("x", "y", sqlstate=KINDS[letter][0], constraint=KINDS[letter][1])
        )
        for letter in history
    ]


@pytest.mark.parametrize(
    ("history", "stops"),
    [
        ("rr", False),
        ("rrr", True),
        ("ccc", True),
        ("rrs", False),  # another SQLSTATE
        ("rrc", False),  # another constraint
        ("ccd", False),
        ("rrsrr", False),
        ("rrsrrr", True),
        ("rr--r", True),  # duplicates say nothing
        ("rwrwr", True),
        ("rwwrwwr", True),
        ("rwwwrr", False),  # as many payments as the limit
        ("rwwwrrr", True),
        ("rrwwwrr", False),
        ("wwwwwwrr", False),
        ("wwrrr", True),
        ("rrwwr", True),
        ("rwrwwwrr", False),
        ("", False),
    ],
)
def test_rejections_in_a_row_stop_the_writer(history: str, stops: bool) -> None:
    """Rejections for one reason stop it, unless as many payments as the limit lie in between."""
    for cut in range(len(history)):  # units of any size come to the same
        breaker = Breaker(LIMIT)
        if not stops:
            breaker.after(outcomes(history[:cut])).after(outcomes(history[cut:]))
        else:
            with pytest.raises(Unavailable):
                breaker.after(outcomes(history[:cut])).after(outcomes(history[cut:]))


@pytest.mark.parametrize(
    ("history", "reason"),
    [("rrr", "SQLSTATE 22001 (constraint None)"), ("ccc", "SQLSTATE 22001 (constraint c)")],
)
def test_a_stop_says_why(history: str, reason: str) -> None:
    """A person is needed, and learns how many rejections there were and which."""
    with pytest.raises(Unavailable) as caught:
        Breaker(LIMIT).after(outcomes(history))
    assert (caught.value.halt, caught.value.code) == (True, "breaker")
    assert str(caught.value) == (
        f"the database rejected 3 messages in a row with {reason}:"
        " the database is at fault, not the messages"
    )


def test_a_limit_of_one_takes_no_rejection() -> None:
    """With a limit of one the first rejection stops the writer."""
    with pytest.raises(Unavailable):
        Breaker(1).after(outcomes("wr"))
