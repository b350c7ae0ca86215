"""`voltpay consume` sends traces where OpenTelemetry's variables ask for it, and not elsewhere."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from tests.harness.cli import LOCAL, start, voltpay

from voltpay_cli.exit_codes import ExitCode

pytestmark = pytest.mark.usefixtures("folder")


@contextmanager
def receiver() -> Iterator[tuple[str, list[Any]]]:
    """The address of an OTLP receiver, and the resources and spans that it has got."""
    received: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers["Content-Encoding"] == "gzip":
                body = gzip.decompress(body)
            received.extend(ExportTraceServiceRequest.FromString(body).resource_spans)
            self.send_response(200)
            self.end_headers()
            self.wfile.write(ExportTraceServiceResponse().SerializeToString())

        def log_message(self, *_: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", received
        server.shutdown()


@pytest.fixture
def payments() -> int:
    assert voltpay("produce", "--source", "file:in.jsonl", "--count", "30").exit_code == 0
    return 30


def test_an_endpoint_gets_the_spans(payments: int) -> None:
    """With an endpoint, the program sends its spans, under its name, before it ends."""
    with receiver() as (address, received):
        ended = voltpay("consume", *LOCAL, env={"OTEL_EXPORTER_OTLP_ENDPOINT": address})
    assert ended.exit_code == 0, ended.output
    (resource, *_) = received
    named = {each.key: each.value.string_value for each in resource.resource.attributes}
    assert named["service.name"] == "voltpay-writer"
    spans = [span for each in received for scope in each.scope_spans for span in scope.spans]
    (batch,) = (span for span in spans if span.name.startswith("process "))
    (size,) = (
        each.value.int_value
        for each in batch.attributes
        if each.key == "messaging.batch.message_count"
    )
    assert size == payments


def test_standard_variables_are_heeded(payments: int) -> None:
    """The service's name and the sampler are those of the variables."""
    with receiver() as (address, received):
        variables = {
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{address}/v1/traces",
            "OTEL_SERVICE_NAME": "payments",
        }
        assert voltpay("consume", *LOCAL, env=variables).exit_code == 0
        (resource, *_) = received
        named = {each.key: each.value.string_value for each in resource.resource.attributes}
        assert named["service.name"] == "payments"
        received.clear()
        variables["OTEL_TRACES_SAMPLER"] = "always_off"
        assert voltpay("consume", *LOCAL, env=variables).exit_code == 0
        assert not received


@pytest.mark.parametrize(
    "variables", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}]
)
def test_what_is_turned_off_sends_nothing(payments: int, variables: dict[str, str]) -> None:
    """The variables that turn traces off win over an endpoint."""
    with receiver() as (address, received):
        variables |= {"OTEL_EXPORTER_OTLP_ENDPOINT": address}
        assert voltpay("consume", *LOCAL, env=variables).exit_code == 0
    assert not received


@pytest.mark.parametrize(
    ("variable", "value"),
    [("OTEL_TRACES_EXPORTER", "zipkin"), ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")],
)
def test_what_is_not_known_is_rejected(variable: str, value: str) -> None:
    """Another exporter or protocol is an error that names the variable, before anything is read."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", variable: value}
    ended = voltpay("consume", *LOCAL, env=variables)
    assert ended.exit_code == ExitCode.MISCONFIGURED
    assert variable in ended.stderr


def test_an_endpoint_that_does_not_answer_stops_nothing(payments: int, folder: Path) -> None:
    """If no receiver listens, the payments are written, and the program ends as usual."""
    variables = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    program = start("consume", *LOCAL, "--output", "json", cwd=folder, **variables)
    printed, told = program.communicate(timeout=120)
    assert program.returncode == 0
    assert f'"written": {payments}' in printed
    assert "Traceback" not in told


def test_without_an_endpoint_nothing_is_loaded(payments: int, folder: Path) -> None:
    """Without an endpoint, no module of OpenTelemetry is imported."""
    assert find_spec("opentelemetry")
    variables = {"PYTHONPROFILEIMPORTTIME": "1"}
    _, told = start("consume", *LOCAL, cwd=folder, **variables).communicate(timeout=120)
    assert "voltpay_core.consuming" in told
    assert "opentelemetry" not in told
