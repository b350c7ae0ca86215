"""Snapshots as metrics for Prometheus."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from voltpay_adapters.snapshots import GroupState, Snapshot, StoreState


def exposition(snapshot: Snapshot) -> bytes:
    """The metrics of a snapshot in Prometheus' text format.

    A part that could not be read has no metrics, as with other exporters: a NaN would be the result
    of every sum and maximum that it takes part in, and the last value would look like a fresh one.
    Its check is 0.
    """
    registry = CollectorRegistry()
    registry.register(_Metrics(snapshot))
    return generate_latest(registry)


class _Metrics(Collector):
    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        snapshot = self._snapshot
        yield _gauge(
            "observed_timestamp_seconds", "When all of this was read.", snapshot.at.timestamp()
        )
        yield _labelled("check", "1 if this check is ok.", "name", _checks(snapshot))
        if isinstance(snapshot.group, GroupState):
            yield from _of_group(snapshot.group)
        if isinstance(snapshot.store, StoreState):
            yield from _of_store(snapshot.store)
        if isinstance(snapshot.dead_letters, int):
            help_ = "Dead letters that their topic retains."
            yield _gauge("dead_letters_retained", help_, snapshot.dead_letters)


def _of_group(group: GroupState) -> Iterator[Metric]:
    yield _by_partition("group_lag_records", "Records not acknowledged.", group.lag)
    yield _by_partition("group_offset", "The offset that is acknowledged.", group.positions)
    yield _gauge("group_members", "Members of the consumer group.", len(group.members))
    yield _gauge("unowned_partitions", "Partitions that no member owns.", len(group.unowned))


def _of_store(store: StoreState) -> Iterator[Metric]:
    yield _gauge("outbox_rows", "Rows that wait to be published.", store.outbox_rows)
    yield _gauge("outbox_oldest_seconds", "Age of the oldest of them.", store.outbox_oldest)
    yield _gauge("oldest_claim_seconds", "Age of the oldest claim.", store.oldest_claim)
    yield _gauge(
        "clock_difference_seconds",
        "Between this machine's clock and the database's.",
        store.clock_difference,
    )
    if store.months_ahead:
        help_ = "Months after the current one without a gap; -1 if that one is missing."
        yield _labelled("months_ahead", help_, "table", store.months_ahead)


def _checks(snapshot: Snapshot) -> dict[str, int]:
    """1 for each check that is ok, 0 for each of which an answer is a failure."""
    failed = {finding.name for finding in snapshot.failures()}
    return {finding.name: int(finding.name not in failed) for finding in snapshot.findings()}


def _gauge(name: str, documentation: str, value: float) -> Metric:
    return GaugeMetricFamily(f"voltpay_{name}", documentation, value)


def _by_partition(name: str, documentation: str, values: Mapping[int, int]) -> Metric:
    numbers = {str(partition): value for partition, value in values.items()}
    return _labelled(name, documentation, "partition", numbers)


def _labelled(name: str, documentation: str, label: str, values: Mapping[str, float]) -> Metric:
    family = GaugeMetricFamily(f"voltpay_{name}", documentation, labels=[label])
    for value, number in values.items():
        family.add_metric([value], number)
    return family
