"""Notices that a topic was deleted or replaced."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import Any
from uuid import UUID

from attrs import define, field
from confluent_kafka import KafkaException

from voltpay_adapters.confluent.topic_admin import ConfluentTopicAdmin, described


@define
class TopicWatch:
    """Requests a topic's id at intervals, without waiting for the answer.

    If another topic takes the name, librdkafka continues in it at the offset of the former one.

    Attributes:
        every: Seconds between two requests.
    """

    _admin: ConfluentTopicAdmin
    _topic: str
    _topic_id: UUID | None
    _every: float
    _asked: Future[Any] | None = field(default=None, init=False)
    _next: float = field(factory=time.monotonic, init=False)

    def has_changed(self) -> bool:
        """Whether an answer says that the topic was deleted or replaced."""
        if self._asked is None:
            if time.monotonic() >= self._next:
                self._asked = self._admin.ask(self._topic)
            return False
        if not self._asked.done():
            return False
        answer, self._asked = self._asked, None
        self._next = time.monotonic() + self._every
        try:
            found = described(answer)
        except KafkaException:
            return False  # an outage, which the consumer reports better
        return found is None or found.topic_id != self._topic_id

    def hurry(self) -> None:
        """Request the id at the next call."""
        self._next = time.monotonic()
