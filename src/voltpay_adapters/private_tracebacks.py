"""Tracebacks for logs without the exceptions' messages, which may hold a payment or a secret."""

from __future__ import annotations

import logging
import traceback
from types import TracebackType

_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class PrivateFormatter(logging.Formatter):
    """A log formatter whose tracebacks leave out the messages of exceptions."""

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - as logging names it
        """Return the traceback of a log record."""
        return "" if ei[1] is None else traceback_without_messages(ei[1])


def traceback_without_messages(error: BaseException) -> str:
    """The traceback of an exception and of its causes, with their types only."""
    return "\n\nthen:\n\n".join(map(_traceback, reversed(_last_to_first(error))))


def _last_to_first(error: BaseException) -> list[BaseException]:
    """The exception and its causes, each once: chains and groups may be circular."""
    found = {}
    waiting: list[BaseException | None] = [error]
    while waiting:
        if (failed := waiting.pop()) is not None and id(failed) not in found:
            found[id(failed)] = failed
            waiting += _led_to(failed)
    return list(found.values())


def _led_to(error: BaseException) -> list[BaseException | None]:
    members = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    return [error.__cause__, None if error.__suppress_context__ else error.__context__, *members]


def _traceback(error: BaseException) -> str:
    frames = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error)
    return f"Traceback (most recent call last):\n{frames}{kind.__module__}.{kind.__qualname__}"
