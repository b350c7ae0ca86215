"""Handles each event once: stores the ids of seen events in the service's own transaction."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import timedelta
from typing import Any, TypeVar

from attrs import define

from voltpay_core.events import PaymentEvent

E = TypeVar("E", bound=PaymentEvent)


@define
class SeenEvents:
    """The events that a service has handled, in a table of its own database.

    Events are delivered at least once. A service calls `new` and handles the new events in one
    transaction, which it begins and commits itself. When an event is repeated, its id is found.

    Attributes:
        connection: A DB-API 2.0 connection of sqlite3, psycopg or pg8000.dbapi.
        now: The current time, in seconds since 1970.
    """

    _connection: Any
    _now: Callable[[], float] = time.time

    def create_table(self) -> None:
        """Create the table `seen_event` unless it exists."""
        self._run(
            "CREATE TABLE IF NOT EXISTS seen_event"
            " (event_id varchar(64) PRIMARY KEY, seen_at bigint NOT NULL)"
        )

    def new(self, events: Iterable[E]) -> list[E]:
        """Return the events that were not seen before, in their order, and store their ids."""
        return [event for event in events if self._is_new(event.event_id)]

    def purge(self, older_than: timedelta) -> int:
        """Delete the ids that were stored longer ago, and return the number deleted.

        Keep ids for longer than the topic keeps its records: if an event is repeated after its id
        is deleted, it counts as new.
        """
        oldest = int(self._now() - older_than.total_seconds())
        return self._run("DELETE FROM seen_event WHERE seen_at < ?", oldest)

    def _is_new(self, event_id: str) -> bool:
        statement = "INSERT INTO seen_event VALUES (?, ?) ON CONFLICT DO NOTHING"
        return self._run(statement, event_id, int(self._now())) == 1

    def _run(self, statement: str, *parameters: object) -> int:
        if not isinstance(self._connection, sqlite3.Connection):
            statement = statement.replace("?", "%s")  # the placeholder of psycopg and pg8000.dbapi
        with closing(self._connection.cursor()) as cursor:
            cursor.execute(statement, parameters)
            return int(cursor.rowcount)
