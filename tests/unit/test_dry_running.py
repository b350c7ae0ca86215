"""Dry runs: what a run would find in its records."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.pace import Time
from tests.harness.strategies import histories

from voltpay_adapters.testing.memory import MemoryLog
from voltpay_core.codec import Codec
from voltpay_core.dry_running import DryRun, dry_run
from voltpay_core.outcomes import DeadLettered, DecodedPayment
from voltpay_core.records import Record

CODEC = Codec()


def counted(records: Sequence[Record]) -> DryRun:
    """What the codec says of each record by itself."""
    decoded = [CODEC.decode(record) for record in records]
    letters = [each.reason.code for each in decoded if isinstance(each, DeadLettered)]
    payments = sum(isinstance(each, DecodedPayment) for each in decoded)
    return DryRun(payments, len(records) - payments - len(letters), dict(Counter(letters)))


@given(
    records=histories(), limit=st.none() | st.integers(1, 30), rate=st.none() | st.integers(1, 9)
)
def test_each_record_is_counted_once(
    records: list[Record], limit: int | None, rate: int | None
) -> None:
    """A dry run counts each record by what decoding makes of it, whatever its rate (G6)."""
    told: list[DryRun] = []
    pace = None if rate is None else Time().pace(rate)
    done = dry_run(iter(records), CODEC, limit=limit, pace=pace, notify=told.append)
    assert done == counted(records[:limit])
    assert done.payments + done.warm_ups + done.dead_letters == len(records[:limit])
    assert not told or told[-1] == done


@given(records=histories(), rate=st.integers(1, 9), stop=st.integers(0, 9))
def test_a_stopped_dry_run_counts_what_it_has_read(
    records: list[Record], rate: int, stop: int
) -> None:
    """A dry run that is stopped between chunks has counted the chunks before."""
    answers = iter([False] * stop + [True])
    done = dry_run(records, CODEC, pace=Time().pace(rate), stop=lambda: next(answers, False))
    assert done == counted(records[: stop * rate])


def test_a_stop_ends_a_wait() -> None:
    """If the work must stop during a wait of the pace, nothing more is read."""
    log, time = MemoryLog(), Time(stopped=True)
    records = iter([log.append(b"{}", key=None) for _ in range(3)])
    assert dry_run(records, CODEC, pace=time.pace(1)).warm_ups == 1
    assert len(list(records)) == 2


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (DryRun(), "payments 0, dead letters 0"),
        (
            DryRun(3, 0, {"key-missing": 1, "bad-json": 2}),
            "payments 3, dead letters 3 (bad-json 2, key-missing 1)",
        ),
        (DryRun(3, 2, {}), "payments 3, dead letters 0, warm-ups 2"),
    ],
)
def test_the_counts_are_said_in_words(found: DryRun, words: str) -> None:
    """Dead letters are counted by code, and warm-ups are named where there are any."""
    assert str(found) == words
