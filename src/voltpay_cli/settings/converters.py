"""Turns what stands in flags, variables and TOML into values, or says what would be right."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from datetime import timedelta

from voltpay_adapters.kafka import urls as kafka_urls
from voltpay_adapters.postgres import urls as database_urls
from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured
from voltpay_core.payments import Status

MASK = "***"

_SECRET_IN_URL = re.compile(r"(?<=://)([^:@]*):.*@", re.DOTALL)
_DURATION = re.compile(r"(?P<count>\d{1,6})(?P<unit>[smhd])", re.ASCII)
_SECRET_WORDS = ("password", "secret", "token")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class Url(str):
    """The URL of a source, of a store or of where events go: a text that knows its kind."""

    __slots__ = ()

    @property
    def is_kafka(self) -> bool:
        """Whether it names Kafka servers."""
        return self.startswith(kafka_urls.SCHEME)

    @property
    def is_sqlite(self) -> bool:
        """Whether it names a file of SQLite."""
        return self.startswith("sqlite:")

    @property
    def path(self) -> str:
        """The path of a ``file:`` or ``sqlite:`` URL."""
        return self.partition(":")[2]


def whole(least: int, most: int) -> Callable[[object], int]:
    """Whole numbers from `least` to `most`."""

    def convert(value: object) -> int:
        try:
            number = int(str(value))
        except ValueError:
            number = least - 1
        if not least <= number <= most:
            raise ValueError(f"needs a whole number from {least} to {most}")
        return number

    return convert


def whole_or(words: str, least: int, most: int) -> Callable[[object], int | str]:
    """One of the words, which are parted by spaces, or a whole number."""
    known = words.split()

    def convert(value: object) -> int | str:
        text = str(value).lower()
        if text in known:
            return text
        try:
            return whole(least, most)(value)
        except ValueError as error:
            raise ValueError(f"{error}, or {' or '.join(known)}") from None

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


def source(value: object) -> Url:
    """The URL of a source: Kafka, a file, or the standard input."""
    return _kafka_or_file(value, f"{kafka_urls.FORM}, file:PATH or file:-")


def store(value: object) -> Url:
    """The URL of a store: PostgreSQL or SQLite."""
    if str(value).lower().startswith("postgres"):
        return database(value)
    return _with_path(Url(value), "sqlite:", f"{database_urls.FORM} or sqlite:PATH")


def events(value: object) -> Url:
    """The URL of where events go: Kafka or a directory."""
    forms = f"{kafka_urls.FORM} or file:DIRECTORY"
    if value == "file:-":
        raise ValueError(f"needs {forms}: events go to files of several names")
    return _kafka_or_file(value, forms)


def database(value: object) -> Url:
    """The URL of a PostgreSQL database."""
    url = Url(value)
    try:
        database_urls.DatabaseUrl.parse(url)
    except Misconfigured as error:
        raise ValueError(with_remedy(error)) from None
    return url


def without_password(value: str) -> str:
    """A URL with its password masked."""
    return _SECRET_IN_URL.sub(rf"\1:{MASK}@", value)


def masked(value: object) -> object:
    """A value without the passwords that its URLs and its named texts hold."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {
            name: MASK if any(word in name.lower() for word in _SECRET_WORDS) else masked(item)
            for name, item in value.items()
        }
    return value


def statuses(value: object) -> frozenset[Status]:
    """Payment statuses by name or number: a list, or a text with commas."""
    parts = value.split(",") if isinstance(value, str) else value
    if not isinstance(parts, (list, tuple, frozenset)):
        raise ValueError("needs a list of statuses")  # noqa: TRY004 - a bad value, told as such
    return frozenset(_status(part) for part in parts)


def pairs(value: object) -> Mapping[str, str]:
    """Names and texts: a table, a text ``name=text,name=text``, or a list of ``name=text``."""
    if isinstance(value, Mapping):
        return {str(name): _scalar(item) for name, item in value.items()}
    parts = value if isinstance(value, list) else str(value).split(",")
    found = [str(part).partition("=") for part in parts if part]
    if not all(name.strip() and equals for name, equals, _ in found):
        raise ValueError("needs name=value, and a comma between two")
    return {name.strip(): item for name, _, item in found}


def duration(value: str) -> timedelta:
    """A length of time such as ``7d``, ``24h``, ``90m`` or ``30s``.

    Raises:
        ValueError: It is no such text.
    """
    found = _DURATION.fullmatch(value.strip())
    if found is None:
        raise ValueError("needs a number and s, m, h or d, such as 7d")
    return timedelta(**{_UNITS[found["unit"]]: int(found["count"])})


def _kafka_or_file(value: object, forms: str) -> Url:
    url = Url(value)
    if url.is_kafka:
        try:
            kafka_urls.servers(url)
        except ValueError as error:
            raise ValueError(f"{error}; see kafka.username" if "@" in url else error) from None
        return url
    return _with_path(url, "file:", forms)


def _with_path(url: Url, scheme: str, forms: str) -> Url:
    if not (url.startswith(scheme) and _is_path(url.path)):
        raise ValueError(f"needs {forms}")
    return url


def _is_path(path: str) -> bool:
    try:
        os.fsencode(path)
    except UnicodeEncodeError:
        raise ValueError("needs a path that the locale can express: set LC_ALL=C.UTF-8") from None
    return bool(path) and "\x00" not in path


def _status(value: object) -> Status:
    for status in Status:
        if str(value).strip().upper() in {status.name, str(status.value)}:
            return status
    raise ValueError("needs SUCCESS, PENDING or FAIL (2, 0, -2), with commas between them")


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ValueError("needs texts or numbers as its values")
