"""Looks at the whole system that the settings name: its group, store, dead letters and checks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial

from voltpay_adapters import snapshots
from voltpay_adapters.local.sqlite import read_state
from voltpay_adapters.snapshots import GroupState, Snapshot, StoreState
from voltpay_cli.checks import run_checks
from voltpay_cli.wiring import Wiring
from voltpay_core.dead_letters import DeadLetter
from voltpay_core.records import Record


def take_snapshot(wiring: Wiring) -> Snapshot:
    """Look at everything at once; a part that cannot be read is its failure.

    Raises:
        Misconfigured: A setting cannot work.
    """
    return snapshots.take(
        wiring.now(),
        group=group_reader(wiring),
        store=_store_reader(wiring),
        dead_letters=_dead_letter_counter(wiring),
        checks=lambda: run_checks(wiring),
    )


def group_reader(wiring: Wiring) -> Callable[[], GroupState] | None:
    """Reads the state of the consumer group; None if payments do not come from Kafka."""
    if (kafka := wiring.source_kafka) is None:
        return None
    from voltpay_adapters.kafka.groups import read_group

    return partial(read_group, kafka, wiring.settings.group, wiring.settings.topics.writer)


def newest_dead_letters(wiring: Wiring, most: int) -> Iterator[DeadLetter]:
    """The newest dead letters of each partition, or all of a file; none without events."""
    records: Iterable[Record] = ()
    if kafka := wiring.events_kafka:
        topic = wiring.settings.topics.dead_letter
        records = wiring.kafka_client.browse(kafka, topic, newest=most)
    elif wiring.settings.events_url:
        records = wiring.dead_letters().browse()
    return map(DeadLetter.read, records)


def _dead_letter_counter(wiring: Wiring) -> Callable[[], int] | None:
    """Counts the dead letters; None if `events` is not set."""
    if kafka := wiring.events_kafka:
        from voltpay_adapters.kafka.groups import count_retained

        return partial(count_retained, kafka, wiring.settings.topics.dead_letter)
    if wiring.settings.events_url is None:
        return None
    return lambda: sum(1 for _ in wiring.dead_letters().browse())


def _store_reader(wiring: Wiring) -> Callable[[], StoreState] | None:
    """Reads the state of the store; None if no store is set."""
    if (url := wiring.settings.store) is None:
        return None
    if url.is_sqlite:
        return partial(read_state, url.path)
    from voltpay_adapters.postgres import health

    return partial(health.read_state, *wiring.postgres(url))
