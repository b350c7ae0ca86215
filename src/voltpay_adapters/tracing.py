"""Traces of a writer for OpenTelemetry, made from its notices."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec

from attrs import define

from voltpay_core.errors import Fenced, Unavailable
from voltpay_core.notices import (
    BatchDone,
    Notice,
    Polled,
    Published,
    Retrying,
    UnitCommitted,
)
from voltpay_core.outcomes import DeadLettered, Outcome
from voltpay_core.records import Partition, ProducerRecord, Record, last_header

if find_spec("opentelemetry") is None:
    raise ModuleNotFoundError(
        "voltpay_adapters.tracing needs opentelemetry-api: pip install 'voltpay[otel]'",
        name="opentelemetry",
    )

from opentelemetry.context import Context
from opentelemetry.trace import (
    Link,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    Tracer,
    get_current_span,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from opentelemetry.util.types import AttributeValue

Attributes = Mapping[str, AttributeValue]

_HEADER = "traceparent"
_TYPES = {"poll": "receive", "process": "process", "send": "send", "commit": "settle"}
"""The type of each operation, by the conventions for messaging systems."""

_SAMPLED = frozenset(b"13579bdf")
"""The last digit of a `traceparent` whose message is sampled."""

_W3C = TraceContextTextMapPropagator()

_TABLES = "idempotency payment_core payment_metadata payment_notes outbox"
_WRITE = f"INSERT {_TABLES}"


@define
class _Batch:
    """A batch that is not acknowledged.

    Attributes:
        messages: The spans of its sampled messages that are not committed.
        unpublished: The number of commit units whose events are not acknowledged.
    """

    topic: str
    size: int
    span: Span
    messages: dict[tuple[Partition, int], Span]
    unpublished: int = 0

    def end(self, at: int, error: str | None = None) -> None:
        """End what is still open; `error` is a code."""
        for span in (*self.messages.values(), self.span):
            _end(span, at, error)


class WriterTracer:
    """An observer that makes spans by the conventions for messaging systems and databases.

    A batch has a span with links to its sampled messages. Each sampled message has a span of its
    own, whose parent is the context of its ``traceparent``. No attribute holds a key, a payment or
    the text of a failure.

    Args:
        tracer: Starts the spans.
        group: The consumer group.
        database: Attributes of the database, such as ``db.system.name`` and ``server.address``.
        now: The current time, in nanoseconds since 1970.
    """

    def __init__(
        self,
        tracer: Tracer,
        group: str,
        database: Mapping[str, str | int],
        now: Callable[[], int] = time.time_ns,
    ) -> None:
        self._tracer, self._database, self._now = tracer, database, now
        self._messaging: Attributes = {
            "messaging.system": "kafka",
            "messaging.consumer.group.name": group,
        }
        self._open: deque[_Batch] = deque()

    def __call__(self, notice: Notice) -> None:
        """Make spans of a notice."""
        match notice:
            case Polled():
                self._polled(notice)
            case UnitCommitted():
                self._committed(notice)
            case Published():
                self._published(notice)
            case BatchDone():
                self._done(notice)
            case Retrying(failure=Unavailable(code=code)) | Fenced(code=code):
                self._failed(code)
            case _:
                pass

    def close(self) -> None:
        """End the spans of batches that were not acknowledged."""
        self._failed("stopped")

    def _polled(self, polled: Polled) -> None:
        topic, size = polled.records[0].partition.topic, len(polled.records)
        at = int(polled.at.timestamp() * 1e9)
        sampled = {
            record: parent
            for record in polled.records
            if record.headers and (parent := _sampled(record))
        }
        links = [Link(_context(parent)) for parent in sampled.values()]
        receive = self._start(
            "poll",
            topic,
            began=at - _nanoseconds(polled.seconds),
            links=links,
            attributes={"messaging.batch.message_count": size},
        )
        receive.end(at)
        span = self._start(
            "process",
            topic,
            began=at,
            links=links,
            attributes={"messaging.batch.message_count": size},
        )
        messages = {
            (record.partition, record.offset): self._message(record, parent, span, at)
            for record, parent in sampled.items()
        }
        self._open.append(_Batch(topic, size, span, messages))

    def _message(self, record: Record, parent: Context, batch: Span, began: int) -> Span:
        return self._start(
            "process",
            record.partition.topic,
            began=began,
            parent=parent,
            links=[Link(batch.get_span_context())],
            attributes={
                "messaging.destination.partition.id": str(record.partition.number),
                "messaging.kafka.offset": record.offset,
            },
        )

    def _committed(self, unit: UnitCommitted) -> None:
        batch, at = self._open[-1], self._now()
        batch.unpublished += 1
        if batch.span.is_recording():
            attributes = {
                **self._database,
                "db.query.summary": _WRITE,
                "db.operation.batch.size": len(unit.outcomes),
            }
            self._tracer.start_span(
                _WRITE,
                set_span_in_context(batch.span, Context()),
                SpanKind.CLIENT,
                attributes,
                start_time=at - _nanoseconds(unit.seconds),
            ).end(at)
        if batch.messages:
            for outcome in unit.outcomes:
                place = (outcome.record.partition, outcome.record.offset)
                if span := batch.messages.pop(place, None):
                    _end(span, at, _error(outcome))

    def _published(self, published: Published) -> None:
        """The events of the oldest commit unit, or of an earlier process."""
        at = self._now()
        batch = None
        if not published.repeat:
            batch = next((each for each in self._open if each.unpublished), None)
        if batch is not None:
            batch.unpublished -= 1
            if not batch.span.is_recording():
                return
        for topic, count in published.by_topic.items():
            parents = [_sampled(event) for event in published.events if event.topic == topic]
            self._start(
                "send",
                topic,
                began=at - _nanoseconds(published.seconds),
                parent=set_span_in_context(batch.span, Context()) if batch else Context(),
                links=[Link(_context(each)) for each in parents if each],
                attributes={"messaging.batch.message_count": count},
            ).end(at)

    def _done(self, done: BatchDone) -> None:
        batch, at = self._open.popleft(), self._now()
        if batch.span.is_recording():
            self._start(
                "commit",
                batch.topic,
                began=at - _nanoseconds(done.seconds),
                parent=set_span_in_context(batch.span, Context()),
                attributes={"messaging.batch.message_count": batch.size},
            ).end(at)
        batch.end(at)

    def _failed(self, code: str) -> None:
        while self._open:
            self._open.popleft().end(self._now(), code)

    def _start(
        self,
        operation: str,
        topic: str,
        *,
        began: int,
        parent: Context | None = None,
        links: Sequence[Link] = (),
        attributes: Attributes,
    ) -> Span:
        """Start a span of a messaging operation; without a parent it is the root of a trace."""
        return self._tracer.start_span(
            f"{operation} {topic}",
            Context() if parent is None else parent,
            SpanKind.CONSUMER if operation == "process" else SpanKind.CLIENT,
            {
                **self._messaging,
                "messaging.operation.name": operation,
                "messaging.operation.type": _TYPES[operation],
                "messaging.destination.name": topic,
                **attributes,
            },
            links,
            start_time=began,
        )


def _sampled(record: Record | ProducerRecord) -> Context | None:
    """The context in the header of a sampled message; a look at one byte rules out the others."""
    traceparent = last_header(record.headers, _HEADER)
    if not traceparent or traceparent[-1] not in _SAMPLED:
        return None
    found = _W3C.extract({_HEADER: traceparent.decode("latin-1")}, Context())
    return found if _context(found).is_valid else None


def _context(parent: Context) -> SpanContext:
    return get_current_span(parent).get_span_context()


def _error(outcome: Outcome) -> str | None:
    """Our code or the SQLSTATE of a rejection; its text may tell of a payment."""
    if isinstance(outcome, DeadLettered):
        return outcome.reason.sqlstate or outcome.reason.code
    return None


def _end(span: Span, at: int, error: str | None) -> None:
    if error:
        span.set_attribute("error.type", error)
        span.set_status(Status(StatusCode.ERROR))
    span.end(at)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
