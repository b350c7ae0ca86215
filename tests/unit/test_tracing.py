"""The spans of a writer: one flow from producer to event, and nothing of a payment."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from decimal import Decimal
from typing import Any, TypeVar

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan, SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON, ParentBased, TraceIdRatioBased
from opentelemetry.trace import SpanKind, StatusCode
from tests.harness.sqlite import SqliteHarness
from tests.harness.world import Patience, RunOptions, World

from voltpay_adapters.testing.faults import Faults, unavailable
from voltpay_adapters.tracing import WriterTracer
from voltpay_core.codec import Topics
from voltpay_core.errors import Unavailable
from voltpay_core.notices import Retrying
from voltpay_core.payments import NewPayment, Status

T = TypeVar("T")

DATABASE = {"db.system.name": "postgresql", "server.address": "db.example"}
ACCOUNT = 4711_4712
POISON = b"poison that no span may tell"


def traceparent(number: int, *, sampled: bool = True) -> bytes:
    """The context that a producer sent with the message of this number."""
    return b"00-%032x-%016x-%s" % (number + 1, number + 1, b"01" if sampled else b"00")


@define
class Tracing:
    """A writer whose spans are kept in memory."""

    world: World
    parent_sampler: Any = ALWAYS_ON
    exporter: InMemorySpanExporter = field(factory=InMemorySpanExporter)

    def produce(self, count: int, sampled: Callable[[int], bool], poison: int = -1) -> None:
        for number in range(count):
            payment = a_payment(number)
            value = POISON if number == poison else self.world.codec.encode_payment(payment)
            header = traceparent(number, sampled=sampled(number))
            key = str(payment.account_id).encode()
            headers = (("traceparent", header),)
            self.world.log.append(value, key=key, partition=number % 2, headers=headers)

    def run(self, way: RunOptions, faults: Faults | None = None) -> list[ReadableSpan]:
        """Consume everything, and return the spans that ended."""
        provider = TracerProvider(
            sampler=ParentBased(self.parent_sampler),
            span_limits=SpanLimits(max_links=way.batch_size),
            shutdown_on_exit=False,
        )
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        tracer = WriterTracer(provider.get_tracer("test"), "a-group", DATABASE)

        def retry(act: Callable[[], T]) -> T:
            def telling() -> T:
                try:
                    return act()
                except Unavailable as failure:
                    tracer(Retrying(failure, 2, 0.0))
                    raise

            return self.world.patiently(telling)

        process = self.world.process(way, faults=faults, notify=tracer, retry=retry)
        process.run(Patience(), until_drained=True)
        assert not tracer._open
        tracer.close()
        return list(self.exporter.get_finished_spans())


@pytest.fixture
def tracing() -> Iterator[Tracing]:
    with closing(SqliteHarness()) as harness:
        yield Tracing(World(harness))


def a_payment(number: int) -> NewPayment:
    comment = "a comment that no span may tell"
    return NewPayment(
        *(f"m{number}", ACCOUNT, Decimal("47.11"), "EUR", Status.SUCCESS, "VSA", comment)
    )


def operations(spans: Iterable[ReadableSpan]) -> Counter[str]:
    return Counter(attributes(span)["messaging.operation.name"] for span in spans if of_kafka(span))


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def of_kafka(span: ReadableSpan) -> bool:
    return "messaging.system" in attributes(span)


def messages(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    return [span for span in spans if "messaging.kafka.offset" in attributes(span)]


def batches(spans: Iterable[ReadableSpan]) -> list[ReadableSpan]:
    return [
        span
        for span in spans
        if span.kind is SpanKind.CONSUMER and "messaging.kafka.offset" not in attributes(span)
    ]


def linked(span: ReadableSpan) -> set[int]:
    return {link.context.trace_id for link in span.links}


@given(sampled=st.lists(st.booleans(), min_size=1, max_size=12), size=st.integers(1, 5))
def test_a_sampled_message_is_seen_in_its_own_trace(sampled: list[bool], size: int) -> None:
    """Each sampled message has one span below its producer's; all others have none."""
    with closing(SqliteHarness()) as harness:
        tracing = Tracing(World(harness))
        tracing.produce(len(sampled), sampled.__getitem__)
        spans = tracing.run(RunOptions(batch_size=size))
    expected = {number + 1 for number, chosen in enumerate(sampled) if chosen}
    found = messages(spans)
    assert sorted(span.context.trace_id for span in found) == sorted(expected)
    assert all(span.parent and span.parent.span_id == span.context.trace_id for span in found)
    assert set().union(*map(linked, batches(spans))) == expected
    sends = [span for span in spans if span.name == f"send {Topics().read}"]
    assert set().union(*map(linked, sends)) == expected


def test_every_message_of_a_batch_is_linked(tracing: Tracing) -> None:
    """A batch has more links than the SDK keeps by default, and loses none."""
    tracing.produce(300, lambda _: True)
    (batch,) = batches(tracing.run(RunOptions(batch_size=300)))
    assert (len(batch.links), batch.dropped_links) == (300, 0)


def test_a_batch_and_its_messages_begin_when_the_poll_ends(tracing: Tracing) -> None:
    """Spans have the times of the notices, in nanoseconds, and a message links to its batch."""
    before = time.time_ns()
    tracing.produce(4, lambda _: True)
    spans = tracing.run(RunOptions(batch_size=4))
    (batch,) = batches(spans)
    (poll,) = (span for span in spans if attributes(span).get("messaging.operation.name") == "poll")
    assert before // 10**9 <= (batch.start_time or 0) // 10**9 <= time.time_ns() // 10**9
    assert poll.end_time == batch.start_time
    for message in messages(spans):
        assert message.start_time == batch.start_time
        assert [link.context.span_id for link in message.links] == [batch.context.span_id]


def test_a_batch_has_a_span_for_each_step(tracing: Tracing) -> None:
    """A poll comes before the batch; what is written, sent and committed is below the batch."""
    tracing.produce(4, lambda _: False)
    spans = tracing.run(RunOptions(batch_size=4))
    (batch,) = batches(spans)
    assert operations(spans) == {"poll": 1, "process": 1, "send": 2, "commit": 1}
    below = {s.name for s in spans if s.parent and s.parent.span_id == batch.context.span_id}
    write = "INSERT idempotency payment_core payment_metadata payment_notes outbox"
    topics = Topics()
    sends = {f"send {topics.read}", f"send {topics.email}"}
    assert below == {write, *sends, f"commit {topics.writer}"}
    (written,) = (span for span in spans if span.name == write)
    assert attributes(written).items() >= DATABASE.items()
    assert attributes(written)["db.operation.batch.size"] == 4
    assert attributes(batch)["messaging.batch.message_count"] == 4


@pytest.mark.parametrize("overlap", [0, 1])
def test_every_span_ends_whatever_fails(overlap: int) -> None:
    """A failure at any step ends the open spans with its code; the flow is in the next ones."""
    way = RunOptions(batch_size=2, overlap=overlap, late_events=bool(overlap))

    def run(faults: Faults) -> list[ReadableSpan]:
        with closing(SqliteHarness()) as harness:
            tracing = Tracing(World(harness))
            tracing.produce(6, lambda _: True)
            return tracing.run(way, faults)

    whole = Faults()
    run(whole)
    for step in range(len(whole.trace)):
        spans = run(Faults({step: unavailable}))
        assert {span.context.trace_id for span in messages(spans)} == set(range(1, 7))
        for span in spans:
            failed = attributes(span).get("error.type")
            assert (span.status.status_code is StatusCode.ERROR) == (failed is not None)
            assert failed in {None, "unavailable"}


def test_a_rejected_message_is_an_error(tracing: Tracing) -> None:
    """The span of a message that becomes a dead letter has its code; the others have no error."""
    tracing.produce(4, lambda _: True, poison=2)
    spans = tracing.run(RunOptions(batch_size=4))
    failed = {
        span.context.trace_id: attributes(span)["error.type"]
        for span in spans
        if span.status.status_code is StatusCode.ERROR
    }
    assert failed == {3: "bad-json"}


def test_no_span_tells_a_payment(tracing: Tracing) -> None:
    """No name, attribute or event of a span holds a key, an amount, a comment or a reason."""
    tracing.produce(6, lambda _: True, poison=3)
    spans = tracing.run(RunOptions(batch_size=3), Faults({7: unavailable}))
    told = "".join(span.to_json() for span in spans)
    for secret in (str(ACCOUNT), "47.11", "no span may tell", "EUR"):
        assert secret not in told


def test_an_unsampled_batch_costs_no_spans_of_its_parts(tracing: Tracing) -> None:
    """If the sampler drops a batch, only the sampled messages of it are recorded."""
    tracing.parent_sampler = TraceIdRatioBased(0)
    tracing.produce(4, lambda number: number == 1)
    (message,) = tracing.run(RunOptions(batch_size=4))
    assert message.context.trace_id == 2


@pytest.mark.parametrize("header", [b"", b"1", b"00-zz-zz-01", b"\xff" * 55, b"00-1-1-01"])
def test_a_strange_header_is_no_context(tracing: Tracing, header: bytes) -> None:
    """Bytes that are no context make neither a link nor a span, and the message is written."""
    value = tracing.world.codec.encode_payment(a_payment(1))
    tracing.world.log.append(
        value, key=str(ACCOUNT).encode(), partition=0, headers=(("traceparent", header),)
    )
    spans = tracing.run(RunOptions())
    assert not messages(spans)
    assert not any(span.links for span in spans)
    assert len(tracing.world.tables().core) == 1
