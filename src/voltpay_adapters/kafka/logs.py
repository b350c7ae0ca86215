"""Limits the log of kafka-python to one line of each kind a minute."""

from __future__ import annotations

import logging


class SeldomFilter(logging.Filter):
    """Passes one message a minute from each line of kafka-python's code; some log ten a second."""

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
