"""The front door: assembles the writer, and subscriptions to its events, from adapters."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime
from typing import TypeVar

from voltpay_core import consuming, subscribing
from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.events import PaymentEvent
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.notices import Observer, ignore
from voltpay_core.ports import EventPublisher, MessageSource, PaymentDatabase, Retry
from voltpay_core.subscribing import Subscription

E = TypeVar("E", bound=PaymentEvent)


@contextmanager
def payment_writer(
    *,
    source: MessageSource,
    store: PaymentDatabase,
    events: EventPublisher,
    retry: Retry,
    codec: Codec | None = None,
    batch_size: int = consuming.BATCH_SIZE,
    commit_unit: int | None = None,
    overlap: int = 0,
    breaker: int = Breaker().limit,
    notify: Observer = ignore,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
    timer: Callable[[], float] = time.monotonic,
) -> Iterator[PaymentConsumer]:
    """A consumer of payments; source, store and publisher are closed at the end.

    The store is opened first: a process that cannot write must not join a consumer group, because
    that would move partitions.

    Args:
        retry: The retry policy for outages, such as `backoff`.
        batch_size: Records in a batch, at most.
        commit_unit: Accounts in a transaction, at most; None for the entire batch.
        overlap: Batches whose events may still be on their way while the next batch is written.
            With `ConfluentPublisher` 1 is faster; `KafkaPublisher` sends events only when they are
            waited for, so anything above 0 delays them.
        breaker: The `limit` of the `Breaker`.
        notify: Called with each notice, for logs and metrics. Give it to `backoff`, too, which
            reports retries. `to_all` makes one observer of several.
        now: The current time, with its time zone.
        timer: Seconds of a clock that never goes back.

    Raises:
        Misconfigured: A setting of the store cannot work, or its node id is taken.
        Unavailable: The store cannot be reached.
    """
    with ExitStack() as opened:
        opened.callback(store.close)
        opened.callback(source.close)
        opened.callback(events.close)
        retry(store.connect)
        yield PaymentConsumer(
            source=source,
            begin=store.begin,
            publisher=events,
            codec=codec or Codec(),
            ids=PaymentIdGenerator(lambda: int(now().timestamp() * 1000)),
            now=now,
            retry=retry,
            batch_size=batch_size,
            commit_unit=commit_unit,
            overlap=overlap,
            breaker=Breaker(breaker),
            notify=notify,
            timer=timer,
        )


@contextmanager
def subscribe(
    source: MessageSource,
    kind: type[E],
    *,
    retry: Retry,
    stop: Callable[[], bool],
    limit: int = subscribing.BATCH_SIZE,
    until_drained: bool = False,
) -> Iterator[Subscription[E]]:
    """Typed batches of events, at least once; the source is closed at the end.

    Args:
        kind: `ReadEvent` or `EmailEvent`, whichever the topic of the source holds.
        retry: The retry policy for outages, such as `backoff`.
        stop: Called between batches; true ends them.
        limit: Records in a batch, at most.
        until_drained: End when the source is drained.
    """
    with closing(source):
        yield Subscription(
            source, kind.decode, retry, stop, limit=limit, until_drained=until_drained
        )
