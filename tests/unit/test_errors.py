"""What each failure says, and the stable words that programs read."""

from collections.abc import Callable
from functools import partial

import pytest

from voltpay_core.errors import Fenced, Misconfigured, Rejected, Unavailable
from voltpay_core.records import Partition

Failure = Rejected | Unavailable | Misconfigured | Fenced
A, B = Partition("b", 0), Partition("a", 1)


@pytest.mark.parametrize(
    ("fail", "text", "code"),
    [
        (lambda: Rejected("bad-json", "no JSON"), "bad-json: no JSON", "bad-json"),
        (lambda: Unavailable("it is down"), "it is down", "unavailable"),
        (lambda: Unavailable("it is down", code="kafka"), "it is down", "kafka"),
        (lambda: Misconfigured("set it"), "set it", "misconfigured"),
        (lambda: Misconfigured("set it", code="no-url"), "set it", "no-url"),
        (lambda: Fenced({A, B}, "moved"), "no longer the owner of a-1, b-0: moved", "not-assigned"),
        (lambda: Fenced((), "x"), "no longer the owner of some partitions: x", "not-assigned"),
        *(
            (
                partial(Fenced, {Partition("b", number) for number in range(count)}, "moved"),
                f"no longer the owner of b-0, b-1, b-2, b-3, b-4, b-5, b-6, b-7{others}: moved",
                "not-assigned",
            )
            for count, others in ((8, ""), (9, " and 1 more"), (11, " and 3 more"))
        ),
        (
            lambda: Fenced({A}, "x", code="epoch-bumped"),
            "no longer the owner of b-0: x",
            "epoch-bumped",
        ),
    ],
)
def test_a_failure_has_a_sentence_and_a_word(
    fail: Callable[[], Failure], text: str, code: str
) -> None:
    """What is printed is the sentence alone; the code is stable, also where none is given."""
    failure = fail()
    assert (str(failure), failure.code) == (text, code)


def test_a_failure_keeps_what_it_is_told() -> None:
    """What else a failure knows is what it was given, or nothing."""
    refused = Rejected("code", "reason", sqlstate="22001", constraint="c")
    assert (refused.reason, refused.sqlstate, refused.constraint) == ("reason", "22001", "c")
    plain = Rejected("code", "reason")
    assert (plain.sqlstate, plain.constraint) == (None, None)
    assert (Unavailable("x").halt, Unavailable("x", halt=True).halt) == (False, True)
    assert Fenced([A, B, A], "x").partitions == {A, B}
