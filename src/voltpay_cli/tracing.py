"""Sends traces of a writer if OpenTelemetry's environment variables ask for them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from importlib.util import find_spec

from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_adapters.urls import Url
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured
from voltpay_core.notices import Observer, ignore

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"


@contextmanager
def traced(wiring: Wiring) -> Iterator[Observer]:
    """An observer whose spans are sent until the end of the block, if an endpoint is named.

    Raises:
        Misconfigured: The extra `otel` is missing, or another protocol is wanted.
    """
    if not _is_wanted(os.environ):
        yield ignore
        return
    # without an endpoint, nothing of OpenTelemetry is loaded
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # noqa: PLC0415
        OTLPSpanExporter,
    )
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource  # noqa: PLC0415
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    from voltpay_adapters.tracing import WriterTracer  # noqa: PLC0415

    version = metadata.version("voltpay")
    named = {"service.name": "voltpay-writer", "service.version": version}
    provider = TracerProvider(
        resource=Resource.create({**named, **OTELResourceDetector().detect().attributes}),
        span_limits=SpanLimits(max_links=_most_links(wiring)),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    tracer = WriterTracer(
        provider.get_tracer("voltpay", version),
        wiring.settings.group,
        _database(wiring.settings.store),
    )
    try:
        yield tracer
    finally:
        tracer.close()
        provider.shutdown()


def _is_wanted(environment: Mapping[str, str]) -> bool:
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    exporter = environment.get("OTEL_TRACES_EXPORTER") or "otlp"
    if exporter == "none":
        return False
    if exporter != "otlp":
        raise Misconfigured("OTEL_TRACES_EXPORTER: this program knows otlp and none")
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _PROTOCOL)
    if protocol != _PROTOCOL:
        raise Misconfigured(f"OTEL_EXPORTER_OTLP_PROTOCOL: this program knows {_PROTOCOL} only")
    if not find_spec("opentelemetry") or not find_spec("opentelemetry.sdk"):
        raise Misconfigured(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and OpenTelemetry is not installed:"
            " pip install 'voltpay[otel]', or unset the variable"
        )
    return True


def _database(store: Url | None) -> dict[str, str | int]:
    """The attributes of the database, by the conventions of OpenTelemetry."""
    if store is None or store.is_sqlite:
        return {"db.system.name": "sqlite"}
    url = DatabaseUrl.parse(store)
    found: dict[str, str | int] = {"db.system.name": "postgresql", "db.namespace": url.database}
    if len(url.hosts) == 1:
        (host,) = url.hosts
        found |= {"server.address": host.name, "server.port": host.port}
    return found


def _most_links(wiring: Wiring) -> int | None:
    """All messages of a batch can be linked; the SDK keeps 128 by default."""
    if "OTEL_SPAN_LINK_COUNT_LIMIT" in os.environ:
        return None
    return wiring.settings.batch_size
