"""A receiver of traces, as a collector of OpenTelemetry is."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.harness.posting import posting


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """The address of an OTLP receiver, and the resources and spans that it has got."""
    received: list[Any] = []

    def take(_: str, body: bytes) -> bytes:
        received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
        answer: bytes = ExportTraceServiceResponse().SerializeToString()
        return answer

    with posting(take) as port:
        yield f"http://127.0.0.1:{port}", received
