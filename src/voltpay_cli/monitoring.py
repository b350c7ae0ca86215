"""Serves metrics and probes of a writer if `listen` is set."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from voltpay_cli.wiring import Wiring
from voltpay_core.notices import Observer, ignore, to_all


@contextmanager
def monitored(wiring: Wiring) -> Iterator[Observer]:
    """An observer whose metrics and probes are served until the end of the block.

    Raises:
        Misconfigured: The address cannot be used (``cannot-listen``).
    """
    if wiring.settings.listen is None:
        yield ignore
        return
    # HTTP loads OpenSSL, which a writer without `listen` may not need
    from prometheus_client import disable_created_metrics  # noqa: PLC0415

    from voltpay_adapters.metrics import CONTENT_TYPE, WriterMetrics  # noqa: PLC0415
    from voltpay_adapters.probes import Probes  # noqa: PLC0415
    from voltpay_cli.http_server import Response, probe, serving  # noqa: PLC0415

    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics, probes = WriterMetrics(wiring.codec.topics, wiring.settings.group), Probes()
    with serving(
        wiring.settings.listen,
        metrics=lambda: Response(metrics.exposition(), CONTENT_TYPE),
        livez=lambda: probe(probes.why_dead()),
        readyz=lambda: probe(probes.why_not_ready()),
    ):
        yield to_all(metrics, probes)
