"""Whether a topic is still the one that it was."""

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
    """Asks for a topic's id now and then; nothing waits for the answer.

    librdkafka reads on where another topic takes the name, at the offset of the former one.

    Attributes:
        every: Seconds between two questions.
    """

    _admin: ConfluentTopicAdmin
    _topic: str
    _topic_id: UUID | None
    _every: float
    _asked: Future[Any] | None = field(default=None, init=False)
    _next: float = field(factory=time.monotonic, init=False)

    def has_changed(self) -> bool:
        """Whether the topic is known to be gone, or to be another one."""
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
            return False  # an outage, of which the consumer knows more
        return found is None or found.topic_id != self._topic_id

    def hurry(self) -> None:
        """Ask at the next occasion."""
        self._next = time.monotonic()
