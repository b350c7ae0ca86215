"""The URLs of a source, of a store and of events: Kafka, PostgreSQL, SQLite and files."""

from __future__ import annotations

import os

from voltpay_adapters.kafka import urls as kafka_urls
from voltpay_adapters.postgres.urls import FORM as DATABASE_FORM
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

SOURCE_FORMS = f"{kafka_urls.FORM}, file:PATH or file:-"
STORE_FORMS = f"{DATABASE_FORM} or sqlite:PATH"
EVENTS_FORMS = f"{kafka_urls.FORM} or file:DIRECTORY"


class Url(str):
    """A URL as its text, which knows its kind."""

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


def source_url(text: object) -> Url:
    """The URL of a source: Kafka, a file, or the standard input.

    Raises:
        Misconfigured: It has another form; the message repeats nothing of it.
    """
    return _kafka_or_file(Url(text), SOURCE_FORMS)


def store_url(text: object) -> Url:
    """The URL of a store: PostgreSQL or SQLite.

    Raises:
        Misconfigured: It has another form; the message repeats nothing of it.
    """
    url = Url(text)
    if url.lower().startswith("postgres"):
        return database_url(url)
    return _with_path(url, "sqlite:", STORE_FORMS)


def events_url(text: object) -> Url:
    """The URL of where events go: Kafka or a directory.

    Raises:
        Misconfigured: It has another form; the message repeats nothing of it.
    """
    if text == "file:-":
        raise Misconfigured(f"needs {EVENTS_FORMS}: events go to files of several names")
    return _kafka_or_file(Url(text), EVENTS_FORMS)


def database_url(text: object) -> Url:
    """The URL of a PostgreSQL database.

    Raises:
        Misconfigured: It has another form; the message repeats nothing of it.
    """
    url = Url(text)
    DatabaseUrl.parse(url)
    return url


def _kafka_or_file(url: Url, forms: str) -> Url:
    if not url.is_kafka:
        return _with_path(url, "file:", forms)
    try:
        kafka_urls.servers(url)
    except ValueError as error:
        code = "kafka-url-user" if "@" in url else "kafka-url"
        raise Misconfigured(str(error), code=code) from None
    return url


def _with_path(url: Url, scheme: str, forms: str) -> Url:
    try:
        path = os.fsencode(url.path)
    except UnicodeEncodeError:
        reason = "needs a path that the locale can express: set LC_ALL=C.UTF-8"
        raise Misconfigured(reason) from None
    if not (url.startswith(scheme) and path) or b"\0" in path:
        raise Misconfigured(f"needs {forms}")
    return url
