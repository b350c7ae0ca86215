"""Makes the log of kafka-python bearable."""

from __future__ import annotations

import logging


class SeldomFilter(logging.Filter):
    """Passes one record a minute of each line in kafka-python, which may log ten a second."""

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
