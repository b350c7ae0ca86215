"""Sends records in chunks, optionally at a fixed rate."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice
from threading import Event

from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import ProducerRecord

CHUNK = 1000
"""Records in one call of `publish`, at most."""


def send(
    publisher: EventPublisher,
    records: Iterable[ProducerRecord],
    stop: Event,
    *,
    rate: int | None = None,
) -> int:
    """Send the records until `stop` is set, and return the number that was acknowledged.

    Args:
        rate: Records a second; None sends as fast as possible.

    Raises:
        Unavailable: The records cannot be published.
    """
    left, sent, started = iter(records), 0, time.monotonic()
    size = CHUNK if rate is None else max(1, min(CHUNK, rate // 10))
    previous: Publication | None = None
    while not stop.is_set() and (chunk := list(islice(left, size))):
        publication = publisher.publish(chunk)
        if previous:
            previous.wait()
        previous = publication
        sent += len(chunk)
        if rate is not None:
            stop.wait(max(0.0, started + sent / rate - time.monotonic()))
    if previous:
        previous.wait()
    return sent
