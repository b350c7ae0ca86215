"""Metrics of a writer for Prometheus, made from its notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from importlib.util import find_spec
from itertools import product

from attrs import define, field

from voltpay_core.codec import Topics
from voltpay_core.errors import DEAD_LETTER_CODES, Fenced, Unavailable
from voltpay_core.notices import (
    BatchDecoded,
    BatchDone,
    Idle,
    Notice,
    Polled,
    Published,
    RejectionsCounted,
    Retrying,
    TakenOver,
    UnitCommitted,
)
from voltpay_core.records import Partition

if find_spec("prometheus_client") is None:
    raise ModuleNotFoundError(
        "voltpay_adapters.metrics needs prometheus-client: pip install 'voltpay[metrics]'",
        name="prometheus_client",
    )

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
"""The content type of `WriterMetrics.exposition`."""

TARGETS = {
    **dict.fromkeys(("kafka", "kafka-protocol", "no-broker", "no-topic"), "kafka"),
    **dict.fromkeys(("database", "node-id-taken"), "database"),
    "file": "file",
    "fenced": "group",
}
"""What a retry waits for, by the code of its failure."""
_OTHER = "other"

_KINDS = ("read", "email", "dead_letter")
_OUTCOMES = ("written", "duplicate", "dead_letter", "warm_up")
_STEPS = ("poll", "decode", "write", "publish", "acknowledge", "take_over")
_STEP_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
_BATCH_RECORDS = (1, 10, 50, 100, 250, 500, 750, 1000, 2500, 5000, 10_000)
_AGE_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)


class WriterMetrics:
    """An observer that counts; every label is there from the start, except partitions.

    `registry` holds the metrics of this writer and of its process. An application that serves
    metrics can serve it too, such as by ``prometheus_client.start_http_server``.

    Args:
        topics: The names of the topics, from which the kinds of events follow.
        group: The consumer group, for ``voltpay_writer_info``.
        now: The current time, in seconds since 1970.
    """

    def __init__(self, topics: Topics, group: str, now: Callable[[], float] = time.time) -> None:
        self.registry = registry = CollectorRegistry()
        self._kinds = dict(
            zip((topics.read, topics.email, topics.dead_letter), _KINDS, strict=True)
        )
        self._now, self._owned = now, _Owned(group)
        self._records = Counter(
            "voltpay_records",
            "Records by outcome; a batch that is repeated after a failure counts again.",
            ["outcome"],
            registry=registry,
        )
        self._dead_letters = Counter(
            "voltpay_dead_letters", "Records that became dead letters.", ["code"], registry=registry
        )
        self._events = Counter(
            "voltpay_events",
            "Acknowledged events and dead letters; a repeat was found in the outbox.",
            ["kind", "repeat"],
            registry=registry,
        )
        self._steps = Histogram(
            "voltpay_step_seconds",
            "Seconds of a poll, the decoding of a batch, a transaction, the publication of its"
            " events, the acknowledgement of a batch, and a take-over.",
            ["step"],
            buckets=_STEP_SECONDS,
            registry=registry,
        )
        self._batch_records = Histogram(
            "voltpay_batch_records",
            "Records of a batch.",
            buckets=_BATCH_RECORDS,
            registry=registry,
        )
        self._oldest = Histogram(
            "voltpay_batch_oldest_record_age_seconds",
            "Age of the oldest record of a batch when it is polled.",
            buckets=_AGE_SECONDS,
            registry=registry,
        )
        self._take_overs = Counter("voltpay_take_overs", "Take-overs.", registry=registry)
        self._fenced = Counter(
            "voltpay_fenced", "Turns that ended because partitions moved.", registry=registry
        )
        self._retries = Counter(
            "voltpay_retries", "Retries, by what is not available.", ["target"], registry=registry
        )
        self._outage = Gauge(
            "voltpay_outage", "1 from a retry until something succeeds.", registry=registry
        )
        self._refusals = Gauge(
            "voltpay_breaker_refusals",
            "Rejections by the database in a row, which the breaker counts.",
            registry=registry,
        )
        self._progress = Gauge(
            "voltpay_last_progress_timestamp_seconds",
            "When a batch was acknowledged, or a poll found nothing to do.",
            registry=registry,
        )
        version = metadata.version("voltpay")
        Gauge("voltpay_build_info", "1.", ["version"], registry=registry).labels(version).set(1)
        ProcessCollector(registry=registry)
        registry.register(self._owned)
        self._start_at_zero()

    def __call__(self, notice: Notice) -> None:
        """Count a notice."""
        match notice:
            case Polled():
                self._measure_batch(notice)
            case BatchDecoded():
                self._time("decode", notice.seconds)
                self._records.labels("warm_up").inc(notice.warm_ups)
            case UnitCommitted():
                self._count_unit(notice)
            case RejectionsCounted():
                self._refusals.set(notice.count)
            case Published():
                self._count_events(notice)
            case BatchDone():
                self._time("acknowledge", notice.seconds)
                self._go_on(notice.lag_by_partition)
            case Idle():
                self._go_on(notice.lag_by_partition)
            case TakenOver():
                self._outage.set(0)
                self._time("take_over", notice.seconds)
                self._take_overs.inc()
                self._owned.node_id = notice.node_id
            case Fenced():
                self._fenced.inc()
            case Retrying():
                self._outage.set(1)
                self._retries.labels(_target(notice.failure)).inc()

    def exposition(self) -> bytes:
        """All metrics in the text format of Prometheus."""
        return generate_latest(self.registry)

    def _measure_batch(self, batch: Polled) -> None:
        self._outage.set(0)
        self._time("poll", batch.seconds)
        self._batch_records.observe(len(batch.records))
        if (age := batch.oldest_age) is not None:
            self._oldest.observe(age)

    def _count_events(self, published: Published) -> None:
        self._time("publish", published.seconds)
        for topic, count in published.by_topic.items():
            if kind := self._kinds.get(topic):  # a pending row may hold a former name
                self._events.labels(kind, _word(published.repeat)).inc(count)

    def _count_unit(self, unit: UnitCommitted) -> None:
        self._time("write", unit.seconds)
        tally = unit.tally
        counts = (tally.written, tally.duplicates, tally.dead_letters)
        for outcome, count in zip(_OUTCOMES, counts, strict=False):
            self._records.labels(outcome).inc(count)
        if tally.dead_letters:
            for letter in unit.dead_letters:
                self._dead_letters.labels(letter.reason.code).inc()

    def _go_on(self, lag: Mapping[Partition, int]) -> None:
        self._outage.set(0)
        self._owned.lag = lag
        self._progress.set(self._now())

    def _time(self, step: str, seconds: float) -> None:
        self._steps.labels(step).observe(seconds)

    def _start_at_zero(self) -> None:
        """Make each combination of labels, so that no series begins with its first increment."""
        for outcome in _OUTCOMES:
            self._records.labels(outcome)
        for code in DEAD_LETTER_CODES:
            self._dead_letters.labels(code)
        for kind, repeat in product(_KINDS, (False, True)):
            self._events.labels(kind, _word(repeat))
        for step in _STEPS:
            self._steps.labels(step)
        for target in {*TARGETS.values(), _OTHER}:
            self._retries.labels(target)


@define(eq=False)
class _Owned(Collector):
    """The metrics of what a writer owns now: a partition that it has lost has none.

    Attributes:
        lag: By partition.
        node_id: None before the first take-over.
    """

    _group: str
    lag: Mapping[Partition, int] = field(factory=dict, init=False)
    node_id: int | None = field(default=None, init=False)

    def collect(self) -> Iterator[Metric]:
        lag = self.lag
        yield GaugeMetricFamily("voltpay_partitions", "Partitions of this writer.", len(lag))
        records = GaugeMetricFamily(
            "voltpay_lag_records",
            "Known records of a partition of this writer that are not polled yet.",
            labels=["partition"],
        )
        for partition, count in lag.items():
            records.add_metric([str(partition.number)], count)
        yield records
        info = GaugeMetricFamily(
            "voltpay_writer_info",
            "1, with the node id since the first take-over.",
            labels=["node_id", "group"],
        )
        node_id = "" if self.node_id is None else f"{self.node_id:03}"
        info.add_metric([node_id, self._group], 1)
        yield info


def _target(failure: Unavailable) -> str:
    return TARGETS.get(failure.code, _OTHER)


def _word(flag: bool) -> str:
    return str(flag).lower()
