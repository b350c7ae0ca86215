"""Logs on stderr: one line each, never the contents of a payment."""

from __future__ import annotations

import logging
import sys
import traceback
from types import TracebackType

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]
_LIBRARIES = {"kafka": logging.ERROR, "voltpay": None}


class _Formatter(logging.Formatter):
    """One that shows where something failed, without the words of the exception."""

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - as logging names it
        """The failure of a record."""
        return "" if ei[1] is None else traceback_without_messages(ei[1])


class _Seldom(logging.Filter):
    """Passes one line a minute of each place in the Kafka client, which may log ten a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        place = record.pathname, record.lineno
        if record.name.partition(".")[0] != "kafka":
            return True
        if record.created - self._last.get(place, 0) < 60:
            return False
        self._last[place] = record.created
        return True


def traceback_without_messages(error: BaseException) -> str:
    """A traceback without what the exceptions say: that may hold a payment or a secret."""
    return "\n\nthen:\n\n".join(map(_traceback, reversed(_last_to_first(error))))


def _last_to_first(error: BaseException) -> list[BaseException]:
    """The exception and all that led to it, each once: chains and groups may be circular."""
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


def log_to_stderr(level: str) -> None:
    """Log on stderr from this level on, and what the Kafka client tells of errors."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter(_FORMAT))
    handler.addFilter(_Seldom())
    for name, fixed in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(fixed or level.upper())
