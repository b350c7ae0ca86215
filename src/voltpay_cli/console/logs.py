"""Logs on stderr: one line each, never the contents of a payment."""

from __future__ import annotations

import logging
import sys

from voltpay_adapters.private_tracebacks import PrivateFormatter
from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured, Unavailable

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LIBRARIES = {"kafka": logging.ERROR, "voltpay": None}


class _Seldom(logging.Filter):
    """Passes one line a minute of each line in the Kafka client, which may log ten a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, int], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a record is logged."""
        origin = record.pathname, record.lineno
        if record.name.partition(".")[0] != "kafka":
            return True
        if record.created - self._last.get(origin, 0) < 60:
            return False
        self._last[origin] = record.created
        return True


def _add_remedies(record: logging.LogRecord) -> bool:
    """Let a line that holds a failure say what to do about it."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            with_remedy(each) if isinstance(each, (Misconfigured, Unavailable)) else each
            for each in record.args
        )
    return True


def log_to_stderr(level: str) -> None:
    """Log on stderr from this level on, and errors of the Kafka client."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrivateFormatter(_FORMAT))
    handler.addFilter(_Seldom())
    for name, fixed in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.filters = [_add_remedies]
        logger.setLevel(fixed or level.upper())
