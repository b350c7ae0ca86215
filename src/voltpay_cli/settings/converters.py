"""Converts the values of flags, variables and TOML, or says which values are accepted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from voltpay_cli.addresses import Address
from voltpay_core.payments import Status


def whole(least: int, most: int, *words: str) -> Callable[[object], int | str]:
    """Whole numbers from `least` to `most`, or one of the words in any case."""

    def convert(value: object) -> int | str:
        text = str(value).lower()
        if text in words:
            return text
        with suppress(ValueError):
            if least <= (number := int(text)) <= most:
                return number
        alternatives = f", or {' or '.join(words)}" if words else ""
        raise ValueError(f"needs a whole number from {least} to {most}{alternatives}")

    return convert


def one_of(*words: str) -> Callable[[object], str]:
    """One of the words, in any case."""

    def convert(value: object) -> str:
        for word in words:
            if str(value).casefold() == word.casefold():
                return word
        raise ValueError(f"needs one of {', '.join(words)}")

    return convert


def text(value: object) -> str:
    """Any text that is not empty."""
    if not (isinstance(value, str) and value.strip()):
        raise ValueError("needs a text that is not empty")
    return value


def topic(value: object) -> str:
    """The name of a topic, as Kafka allows it."""
    if not (isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9._-]{1,249}", value)):
        raise ValueError("needs 1 to 249 letters, digits, dots, dashes or underscores")
    return value


def address(value: object) -> str:
    """Where to listen, complete with host and port."""
    return str(Address.parse(str(value)))


def statuses(value: object) -> frozenset[Status]:
    """Payment statuses by name or number: a list, or a text with commas."""
    known = {name: status for status in Status for name in (status.name, str(status.value))}
    parts: Any = value.split(",") if isinstance(value, str) else value
    try:
        return frozenset(known[str(part).strip().upper()] for part in parts)
    except (KeyError, TypeError):
        raise ValueError(
            "needs SUCCESS, PENDING or FAIL (2, 0, -2), with commas between them"
        ) from None


def pairs(value: object) -> Mapping[str, str]:
    """Names and texts: a table, a text ``name=text,name=text``, or a list of ``name=text``."""
    if isinstance(value, Mapping):
        return {str(name): _scalar(item) for name, item in value.items()}
    parts = value if isinstance(value, list) else str(value).split(",")
    found = [str(part).partition("=") for part in parts if part]
    if not all(name.strip() and equals for name, equals, _ in found):
        raise ValueError("needs name=value, and a comma between two")
    return {name.strip(): item for name, _, item in found}


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("needs texts or numbers as its values")
