"""Publishes read events again from the tables, for readers that start from nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from attrs import frozen

from voltpay_core.codec import Codec
from voltpay_core.ids import PaymentId
from voltpay_core.pacing import Pace
from voltpay_core.ports import EventPublisher, PaymentRange, PaymentReader, Retry
from voltpay_core.relaying import publish_and_wait

CHUNK = 1000
"""Payments that are read and published together, at most."""


@frozen
class Rebuilt:
    """The progress of a rebuild.

    Attributes:
        published: The number of events that the broker has acknowledged.
        last: The payment of the last of them: a rebuild of the payments after it continues.
        finished: False if the rebuild was stopped before the end of its range.
    """

    published: int = 0
    last: PaymentId | None = None
    finished: bool = False

    def __str__(self) -> str:
        return f"published {self.published} read events, the last one of {self.last}"


def rebuild(
    reader: PaymentReader,
    publisher: EventPublisher,
    codec: Codec,
    payments: PaymentRange,
    *,
    retry: Retry,
    pace: Pace | None = None,
    stop: Callable[[], bool] = lambda: False,
    notify: Callable[[Rebuilt], None] = lambda _: None,
) -> Rebuilt:
    """Publish the read event of each payment of a range, in the order of the payment ids.

    There are no e-mail events. An event that is published again, because a rebuild was repeated or
    its acknowledgement was lost, has the same bytes. It can be run while writers run: payments
    that are committed meanwhile get their events from the writer.

    Args:
        retry: The retry policy for outages.
        pace: Bounds the events in a second; None for no bound.
        stop: Called between chunks; true ends the rebuild.
        notify: Called after each chunk with the progress so far.

    Raises:
        Unavailable: The retry policy gave up. Everything up to the last notice is published.
    """
    done = Rebuilt(last=payments.after)
    limit = CHUNK if pace is None else min(CHUNK, pace.rate)
    while not stop():
        page = retry(partial(reader.read, payments, limit))
        if not page:
            return Rebuilt(done.published, done.last, finished=True)
        if pace is not None and pace.pause():
            break
        # an event that failed must not arrive after a later event of its account (G3)
        retry(
            partial(publish_and_wait, publisher, [codec.rebuilt_event(payment) for payment in page])
        )
        if pace is not None:
            pace.passed(len(page))
        done = Rebuilt(done.published + len(page), page[-1].id)
        payments = payments.rest(page[-1].id)
        notify(done)
    return done
