"""A traceback shows each exception that led to a failure, and the words of none."""

import logging
import re
from collections.abc import Callable

import pytest
from tests.harness.canary import PASSWORD, leaks

from voltpay_adapters.private_tracebacks import traceback_without_messages
from voltpay_cli.console.logs import log_to_stderr


class Empty(ValueError):
    """One that counts as false."""

    def __len__(self) -> int:
        return 0


def with_a_cause() -> None:
    try:
        raise Empty(PASSWORD)
    except ValueError as error:
        raise RuntimeError(PASSWORD) from error


def with_a_context() -> None:
    try:
        raise Empty(PASSWORD)
    except ValueError:
        raise RuntimeError(PASSWORD)  # noqa: B904 - this is what is tried


def with_a_hidden_context() -> None:
    try:
        raise Empty(PASSWORD)
    except ValueError:
        raise RuntimeError(PASSWORD) from None


def with_notes() -> None:
    error = RuntimeError(PASSWORD)
    error.add_note(PASSWORD)
    raise error


def of_a_group() -> None:
    try:
        raise Empty(PASSWORD)
    except ValueError as error:
        raise ExceptionGroup(PASSWORD, [KeyError(PASSWORD), error]) from LookupError(PASSWORD)


def of_a_circle() -> None:
    error = RuntimeError(PASSWORD)
    error.__context__ = ExceptionGroup(PASSWORD, [error, Empty(PASSWORD)])
    raise error


def of_syntax() -> None:
    compile(f"{PASSWORD} = = 1", PASSWORD, "exec")


def at_great_depth() -> None:
    error: Exception = Empty(PASSWORD)
    for _ in range(5000):
        later = RuntimeError(PASSWORD)
        later.__cause__ = error
        error = later
    raise error


def kinds(told: str) -> list[str]:
    return re.findall(r"^\w[\w.]*\.(\w+)$", told, re.MULTILINE)


@pytest.mark.parametrize(
    ("failing", "shown"),
    [
        (with_a_cause, ["Empty", "RuntimeError"]),
        (with_a_context, ["Empty", "RuntimeError"]),
        (with_a_hidden_context, ["RuntimeError"]),
        (with_notes, ["RuntimeError"]),
        (of_a_group, ["LookupError", "KeyError", "Empty", "ExceptionGroup"]),
        (of_a_circle, ["Empty", "ExceptionGroup", "RuntimeError"]),
        (of_syntax, ["SyntaxError"]),
        (at_great_depth, ["Empty", *["RuntimeError"] * 5000]),
    ],
)
def test_each_exception_is_shown_once_and_without_words(
    failing: Callable[[], None], shown: list[str]
) -> None:
    """Causes, contexts and members of groups come before what they led to, in whatever shape."""
    with pytest.raises(Exception) as caught:  # noqa: PT011 - any of them
        failing()
    told = traceback_without_messages(caught.value)
    assert kinds(told) == shown
    assert f"in {failing.__name__}\n" in told
    assert leaks(told) == []


def test_a_logged_exception_that_counts_as_false_is_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Whether a record has an exception does not depend on the exception's truth."""
    log_to_stderr("info")
    logging.getLogger("voltpay").error("failed", exc_info=(Empty, Empty(PASSWORD), None))
    assert kinds(capsys.readouterr().err) == ["Empty"]
