"""Assembles the writer from a source, a store and a publisher of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime

from voltpay_core.breaker import Breaker
from voltpay_core.codec import Codec
from voltpay_core.consuming import Notice, PaymentConsumer
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.ports import EventPublisher, MessageSource, PaymentDatabase, Retry


@contextmanager
def payment_writer(
    *,
    source: MessageSource,
    store: PaymentDatabase,
    events: EventPublisher,
    retry: Retry,
    codec: Codec | None = None,
    batch_size: int = 1000,
    commit_unit: int | None = None,
    breaker: int = 20,
    notify: Callable[[Notice], None] = lambda _: None,
) -> Iterator[PaymentConsumer]:
    """A consumer of payments; source, store and publisher are closed in the end.

    The store is opened first: a process that may not write must not join a consumer group, for its
    joining would move partitions.

    Args:
        retry: How outages are waited out, such as `backoff`.
        batch_size: Records a batch, at most.
        commit_unit: Accounts a transaction; None for the entire batch.
        breaker: This many rejections by the database in a row halt the writer.
        notify: Called with what happens, for logs and metrics.

    Raises:
        Misconfigured: A setting of the store cannot work, or its node id is taken.
        Unavailable: The store cannot be reached.
    """
    with ExitStack() as opened:
        opened.callback(store.close)
        opened.callback(events.close)
        opened.callback(source.close)
        retry(store.connect)
        yield PaymentConsumer(
            source=source,
            begin=store.begin,
            publisher=events,
            codec=codec or Codec(),
            ids=PaymentIdGenerator(_milliseconds),
            now=_now,
            retry=retry,
            batch_size=batch_size,
            commit_unit=commit_unit,
            breaker=Breaker(breaker),
            notify=notify,
        )


def _now() -> datetime:
    return datetime.now(UTC)


def _milliseconds() -> int:
    return time.time_ns() // 1_000_000
