"""Sends records to the input topic in chunks, at a rate where one is asked for."""

from __future__ import annotations

import time
from collections.abc import Iterable
from itertools import islice

from voltpay_cli.console.signals import StopFlag
from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import ProducerRecord

CHUNK = 1000
"""Records handed over at a time, at most."""


def send(
    publisher: EventPublisher,
    records: Iterable[ProducerRecord],
    *,
    rate: int | None,
    stop: StopFlag,
) -> int:
    """Send the records until told to stop, and tell how many were acknowledged.

    Args:
        rate: Records a second; None sends as fast as they are taken.

    Raises:
        Unavailable: The topic does not take them.
    """
    left, sent, started = iter(records), 0, time.monotonic()
    size = CHUNK if rate is None else max(1, min(CHUNK, rate // 10))
    on_the_way: Publication | None = None
    while not stop() and (chunk := list(islice(left, size))):
        publication = publisher.publish(chunk)
        if on_the_way:
            on_the_way.wait()
        on_the_way = publication
        sent += len(chunk)
        if rate is not None:
            stop.flag.wait(max(0.0, started + sent / rate - time.monotonic()))
    if on_the_way:
        on_the_way.wait()
    return sent
