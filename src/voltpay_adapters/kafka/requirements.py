"""What a topic setting must be, and what is at stake if it is not."""

from __future__ import annotations

from collections.abc import Callable, Collection
from enum import IntEnum

from attrs import evolve, frozen

UNLIMITED = "-1"
"""Kafka's value for a retention without a limit."""


class Stake(IntEnum):
    """What a wrong setting may cost."""

    SERVICE = 0
    """The writer may halt, or a document is wrong; nothing is lost."""
    RECORDS = 1
    """Records may be lost after another failure, or if they are read late."""
    PAYMENTS = 2
    """Records of payments are lost although nothing fails."""


@frozen
class Requirement:
    """A topic setting, and the values that are accepted.

    Attributes:
        name: Kafka's name of the setting.
        value: The value for a new topic; None keeps the broker's default.
        wanted: The accepted values, in words.
        accepts: Whether a value, in Kafka's notation, is accepted.
        reason: Why the setting matters, in words.
        unless: Settings and values; if the topic has any of them, this one has no meaning.
    """

    name: str
    value: str | None
    wanted: str
    accepts: Callable[[str], bool]
    reason: str
    stake: Stake = Stake.SERVICE
    unless: Collection[tuple[str, str]] = ()


def exactly(name: str, value: str, reason: str, stake: Stake = Stake.SERVICE) -> Requirement:
    """A setting that must have exactly this value."""
    return Requirement(name, value, value, lambda found: found == value, reason, stake)


def without(
    name: str,
    word: str,
    reason: str,
    stake: Stake = Stake.SERVICE,
    *,
    value: str | None = None,
) -> Requirement:
    """A list of words, such as cleanup policies, that must not have this word."""

    def accepts(found: str) -> bool:
        return word not in found.split(",")

    return Requirement(name, value, value or f"other than {word}", accepts, reason, stake)


def at_least(
    name: str, least: int, reason: str, stake: Stake = Stake.SERVICE, *, endless: bool = False
) -> Requirement:
    """A number of at least this size; with `endless`, `UNLIMITED` is accepted too."""

    def accepts(found: str) -> bool:
        number = whole_number(found)
        return (endless and found == UNLIMITED) or (number is not None and number >= least)

    return Requirement(name, str(least), f"at least {least}", accepts, reason, stake)


def roomy(name: str, least: int, reason: str) -> Requirement:
    """A number of at least this size; a new topic keeps the broker's default, which is larger."""
    return evolve(at_least(name, least, reason), value=None)


def at_most(
    name: str,
    most: int,
    reason: str,
    stake: Stake = Stake.SERVICE,
    *,
    unless: Collection[tuple[str, str]] = (),
) -> Requirement:
    """A number of at most this size."""

    def accepts(found: str) -> bool:
        number = whole_number(found)
        return number is not None and number <= most

    return Requirement(name, str(most), f"at most {most}", accepts, reason, stake, unless)


def whole_number(text: str) -> int | None:
    """A setting's value as a number; None if it is not a whole number."""
    try:
        return int(text)
    except ValueError:
        return None
