"""What a person can do about a failure, by the failure's code: a flag, a setting or a command."""

from __future__ import annotations

from voltpay_core.errors import Misconfigured, Unavailable

_REMEDIES = {
    "breaker": "fix the database, or raise limits.breaker",
    "claims-needed-by-input": "keep claims longer (limits.claims_days, --older-than), or --force",
    "claims-needed-by-replays": "purge older claims (limits.claims_days), or --force",
    "letters-beyond-retention": "--force sends them all the same",
}


def with_remedy(failure: Misconfigured | Unavailable) -> str:
    """The failure in words, and what to do about it."""
    remedy = _REMEDIES.get(failure.code)
    return f"{failure}; {remedy}" if remedy else str(failure)
