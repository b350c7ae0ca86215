"""What a setting of a topic has to be, and what is at stake where it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum

from attrs import evolve, frozen

UNLIMITED = "-1"
"""What Kafka writes for a retention without end."""


class Stake(IntEnum):
    """What a wrong setting may cost."""

    SERVICE = 0
    """The writer may halt, or a document is wrong; nothing is lost."""
    RECORDS = 1
    """Records may vanish after something else went wrong, or when they are read late."""
    PAYMENTS = 2
    """Records of payments vanish though everything goes well."""


@frozen
class Requirement:
    """A setting of a topic, and what it has to be.

    Attributes:
        name: As Kafka names it.
        value: What a new topic gets; None leaves it the broker's default.
        wanted: What it has to be, for people.
        accepts: Whether a value, as Kafka states it, is as it has to be.
        reason: What it is for, for people.
        unless: Settings and values, any of which makes this one meaningless.
    """

    name: str
    value: str | None
    wanted: str
    accepts: Callable[[str], bool]
    reason: str
    stake: Stake = Stake.SERVICE
    unless: Collection[tuple[str, str]] = ()


def exactly(name: str, value: str, reason: str, stake: Stake = Stake.SERVICE) -> Requirement:
    """A setting of this value and no other."""
    return Requirement(name, value, value, lambda found: found == value, reason, stake)


def without(
    name: str,
    word: str,
    reason: str,
    stake: Stake = Stake.SERVICE,
    *,
    value: str | None = None,
) -> Requirement:
    """A list of words that has not this one, such as cleanup policies."""

    def accepts(found: str) -> bool:
        return word not in found.split(",")

    return Requirement(name, value, value or f"other than {word}", accepts, reason, stake)


def at_least(
    name: str, least: int, reason: str, stake: Stake = Stake.SERVICE, *, endless: bool = False
) -> Requirement:
    """A number of this size or larger; with `endless` also no limit, which Kafka writes as -1."""

    def accepts(found: str) -> bool:
        number = whole_number(found)
        return (endless and found == UNLIMITED) or (number is not None and number >= least)

    return Requirement(name, str(least), f"at least {least}", accepts, reason, stake)


def roomy(name: str, least: int, reason: str) -> Requirement:
    """A number of this size or larger, as the broker's default is; a new topic keeps that."""
    return evolve(at_least(name, least, reason), value=None)


def at_most(
    name: str,
    most: int,
    reason: str,
    stake: Stake = Stake.SERVICE,
    *,
    unless: Collection[tuple[str, str]] = (),
) -> Requirement:
    """A number of this size or smaller."""

    def accepts(found: str) -> bool:
        number = whole_number(found)
        return number is not None and number <= most

    return Requirement(name, str(most), f"at most {most}", accepts, reason, stake, unless)


def whole_number(text: str) -> int | None:
    """The number that a setting states; None where it states none."""
    try:
        return int(text)
    except ValueError:
        return None
