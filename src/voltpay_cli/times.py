"""Times and ages, as they are given on the command line and printed."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from voltpay_core.errors import Misconfigured

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}
_AGE = re.compile(r"(\d{1,6})([smhd])", re.ASCII)


def age(flag: str, text: str) -> timedelta:
    """The value of a flag such as ``7d``.

    Raises:
        Misconfigured: It has another form.
    """
    found = _AGE.fullmatch(text.strip())
    if found is None:
        raise Misconfigured(f"{flag}: needs a number and s, m, h or d, such as 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])})


def moment(flag: str, text: str | None, now: datetime) -> datetime | None:
    """The value of a flag that is a date, a time or an age before `now`; None without the flag.

    A date or a time without a zone is in UTC, as is the result.

    Raises:
        Misconfigured: It has another form.
    """
    if text is None:
        return None
    with suppress(ValueError, OverflowError):  # the latter: before the year 1 or after 9999
        if _AGE.fullmatch(text.strip()):
            return now - age(flag, text)
        found = datetime.fromisoformat(text.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    raise Misconfigured(
        f"{flag}: needs a date or a time, in UTC unless it has a zone, such as 2026-01-31 or"
        " 2026-01-31T12:00+01:00, or an age, such as 2h"
    )


def iso(instant: datetime) -> str:
    """A time in UTC with milliseconds, such as ``2026-01-31T12:00:00.000Z``."""
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
