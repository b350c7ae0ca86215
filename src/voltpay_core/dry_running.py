"""Decodes records and counts their outcomes, and changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import islice

from attrs import field, frozen

from voltpay_core.codec import Codec
from voltpay_core.outcomes import DeadLettered, DecodedPayment, WarmedUp
from voltpay_core.pacing import Pace
from voltpay_core.records import Record

CHUNK = 1000
"""Records that are decoded between two looks at the stop flag, at most."""


@frozen
class DryRun:
    """The number of records with each outcome of decoding.

    Attributes:
        payments: Acceptable payments. A real run may find that some are duplicates, or that the
            database rejects them.
        codes: The number of dead letters by code.
    """

    payments: int = 0
    warm_ups: int = 0
    codes: Mapping[str, int] = field(factory=dict)

    @property
    def dead_letters(self) -> int:
        """The number of dead letters."""
        return sum(self.codes.values())

    def __str__(self) -> str:
        codes = ", ".join(f"{code} {count}" for code, count in sorted(self.codes.items()))
        by_code = f" ({codes})" if codes else ""
        warm_ups = f", warm-ups {self.warm_ups}" if self.warm_ups else ""
        return f"payments {self.payments}, dead letters {self.dead_letters}{by_code}{warm_ups}"


def dry_run(
    records: Iterable[Record],
    codec: Codec,
    *,
    limit: int | None = None,
    pace: Pace | None = None,
    stop: Callable[[], bool] = lambda: False,
    notify: Callable[[DryRun], None] = lambda _: None,
) -> DryRun:
    """Decode the records and count what would become of them.

    Args:
        limit: Records to decode, at most.
        pace: Bounds the records in a second; None for no bound.
        stop: Called between chunks; true ends the run.
        notify: Called after each chunk with the counts so far.
    """
    left = islice(records, limit)
    counts: Counter[type] = Counter()
    codes: Counter[str] = Counter()
    done = DryRun()
    while not stop() and not (pace and pace.pause()):
        chunk = list(islice(left, min(CHUNK, pace.rate) if pace else CHUNK))
        if not chunk:
            break
        for decoded in map(codec.decode, chunk):
            counts[type(decoded)] += 1
            if isinstance(decoded, DeadLettered):
                codes[decoded.reason.code] += 1
        if pace:
            pace.passed(len(chunk))
        done = DryRun(counts[DecodedPayment], counts[WarmedUp], dict(codes))
        notify(done)
    return done
