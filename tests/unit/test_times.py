"""The times that commands take."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from voltpay_cli.times import iso, moment
from voltpay_core.errors import Misconfigured

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-01-30", NOW - timedelta(days=1, hours=12)),
        ("2026-01-31T11:00", NOW - timedelta(hours=1)),
        (" 2026-01-31T11:00Z ", NOW - timedelta(hours=1)),
        ("2026-01-31T11:00+02:00", NOW - timedelta(hours=3)),
        ("2h", NOW - timedelta(hours=2)),
        ("9999-12-31T23:59:59.999999", datetime.max.replace(tzinfo=UTC)),
    ],
)
def test_a_time_is_in_utc_unless_it_has_a_zone(text: str, time: datetime) -> None:
    """A date or a time without a zone is in UTC; a zone is respected; an age is before now."""
    found = moment("--since", text, NOW)
    assert (found, found and found.tzinfo) == (time, UTC)


@pytest.mark.parametrize("text", ["", "soon", "12:00", "2026-13-01", "-1h", "2 h", "1w", "999999d"])
def test_whatever_is_no_time_names_its_flag(text: str) -> None:
    """What is no date, time or age is rejected by a message that names the flag."""
    with pytest.raises(Misconfigured, match=r"^--since: needs a date or a time"):
        moment("--since", text, NOW)


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:00-14:00"])
def test_a_time_that_utc_cannot_express_is_rejected(text: str) -> None:
    """A time that is before the year 1 or after 9999 in UTC is rejected, not a bug."""
    with pytest.raises(Misconfigured):
        moment("--from", text, NOW)


def test_a_printed_time_can_be_given_again() -> None:
    """The time that is printed is the time that is read."""
    printed = iso(NOW)
    assert printed == "2026-01-31T12:00:00.000Z"
    assert moment("--to", printed, NOW) == NOW
