"""A real Zipkin shows the way of a sampled payment over two services."""

from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal

import pytest
from opentelemetry.exporter.zipkin.encoder import Protocol
from opentelemetry.exporter.zipkin.json import ZipkinExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from tests.harness.deployment import eventually
from tests.harness.sqlite import SqliteHarness
from tests.harness.stack.available import available
from tests.harness.stack.zipkin import Zipkin
from tests.harness.world import Patience, RunOptions, World

from voltpay_adapters.tracing import WriterTracer
from voltpay_core.codec import Topics
from voltpay_core.payments import NewPayment, Status


@pytest.fixture
def zipkin() -> Iterator[Zipkin]:
    with available(Zipkin) as zipkin:
        yield zipkin


def test_a_trace_goes_over_both_services(zipkin: Zipkin) -> None:
    """Zipkin, which shows no links, has the writer's span below that of the producer."""

    def provider(service: str) -> TracerProvider:
        resource = Resource.create({"service.name": service})
        provider = TracerProvider(resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(
            SimpleSpanProcessor(ZipkinExporter(Protocol.V2, zipkin.endpoint))
        )
        return provider

    with closing(SqliteHarness()) as harness:
        world, headers = World(harness), dict[str, str]()
        with provider("shop").get_tracer("test").start_as_current_span("pay") as paying:
            TraceContextTextMapPropagator().inject(headers)
            payment = NewPayment("m1", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
            encoded = [(name, text.encode()) for name, text in headers.items()]
            value = world.codec.encode_payment(payment)
            world.log.append(value, key=b"1", partition=0, headers=tuple(encoded))
        writer = provider("voltpay-writer").get_tracer("test")
        tracer = WriterTracer(writer, "a-group", {"db.system.name": "sqlite"})
        world.process(RunOptions(), notify=tracer).run(Patience(), until_drained=True)

    trace_id = f"{paying.get_span_context().trace_id:032x}"
    eventually(lambda: len(zipkin.trace(trace_id)) == 2)
    spans = {span["localEndpoint"]["serviceName"]: span for span in zipkin.trace(trace_id)}
    assert set(spans) == {"shop", "voltpay-writer"}
    written = spans["voltpay-writer"]
    assert written["parentId"] == spans["shop"]["id"]
    assert written["name"] == f"process {Topics().writer}"
    assert written["kind"] == "CONSUMER"
