"""Logs dead letters: a line for each, up to ten a minute and code, and the number of the others."""

from __future__ import annotations

import logging
from collections import deque

from attrs import define, field

from voltpay_cli.console.lines import event
from voltpay_core.codec import attempts
from voltpay_core.dead_letters import correlation_id, trace_id
from voltpay_core.outcomes import DeadLettered

log = logging.getLogger("voltpay")

LETTERS, SECONDS = 10, 60.0
"""Lines for dead letters of one code within these seconds, at most."""


@define
class _Lines:
    """The lines of one code.

    Attributes:
        at: The times of the last ones.
        left_out: The number of letters without a line.
        since: The time of the first of these.
    """

    at: deque[float] = field(factory=lambda: deque(maxlen=LETTERS))
    left_out: int = 0
    since: float = 0.0


@define
class LetterLog:
    """The log of the dead letters of a run. Times are seconds of a clock that never goes back."""

    _by_code: dict[str, _Lines] = field(factory=dict, init=False)

    def add(self, letter: DeadLettered, now: float) -> None:
        """Log a letter, or count it."""
        lines = self._by_code.setdefault(letter.reason.code, _Lines())
        if len(lines.at) == LETTERS and now - lines.at[0] < SECONDS:
            lines.since = lines.since if lines.left_out else now
            lines.left_out += 1
        else:
            lines.at.append(now)
            _log(letter)

    def log_left_out(self, until: float) -> None:
        """Log the number of letters without a line, for each code since that time or before."""
        for code, lines in self._by_code.items():
            if lines.left_out and lines.since <= until:
                log.warning(
                    "%d more dead letters with the code %s",
                    lines.left_out,
                    code,
                    extra=event("dead-letters-left-out", code=code, count=lines.left_out),
                )
                lines.left_out = 0


def _log(letter: DeadLettered) -> None:
    record, reason = letter.record, letter.reason
    fields = {
        "place": f"{record.partition}@{record.offset}",
        "code": reason.code,
        "sqlstate": reason.sqlstate,
        "attempt": attempts(record.headers) + 1,
        "trace_id": trace_id(record.headers),
        "correlation_id": correlation_id(record.headers),
    }
    known = [f"{name} {value}" for name, value in fields.items() if value is not None]
    words = ", ".join(known[1:])
    log.warning("dead letter %s: %s", fields["place"], words, extra=event("dead-letter", **fields))
