"""Which headers a record's events, its dead letter and the letter's replay have."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness import strategies

from voltpay_core.codec import Codec, attempts, without_letter_headers
from voltpay_core.errors import Rejected
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DeadLettered, Written
from voltpay_core.payments import NewPayment, Payment, Status
from voltpay_core.records import Headers, Partition, Record

NOW = datetime(2024, 2, 29, 12, tzinfo=UTC)
FAILED_AT = "2024-02-29T12:00:00.000Z"
EARLIER = b"2023-01-01T00:00:00.000Z"
ATTEMPT, FIRST_FAILED = "voltpay-dlq-attempt", "voltpay-dlq-first-failed-at"
ADDED = (
    "__connect.errors.topic",
    "__connect.errors.partition",
    "__connect.errors.offset",
    "__connect.errors.exception.message",
    "voltpay-dlq-code",
    "voltpay-dlq-sqlstate",
    "voltpay-dlq-constraint",
    ATTEMPT,
    FIRST_FAILED,
    "voltpay-dlq-failed-at",
)
REFUSED = Rejected("refused-by-database", "not now", sqlstate="P0001", constraint="c")
LONG = b"x" * 512
names = st.sampled_from((*ADDED, "__connect.errors.class.name", "voltpay-dlq-other", "x"))
headers = strategies.headers | st.lists(st.tuples(names, st.none() | st.binary(max_size=50))).map(
    tuple
)


def record(headers: Headers) -> Record:
    return Record(Partition("payments", 7), 5, 1_700_000_000_000, b"1", b"value", headers)


def letter(headers: Headers) -> Headers:
    """The headers of the dead letter of a record with these."""
    return Codec().dead_letter(DeadLettered(record(headers), REFUSED), NOW).headers


def added(attempt: int = 1, first_failed: str = FAILED_AT) -> Headers:
    """What a dead letter adds to the headers of its record."""
    texts = ("payments", "7", "5", "not now", "refused-by-database", "P0001", "c")
    values = (*texts, str(attempt), first_failed, FAILED_AT)
    return tuple((name, text.encode()) for name, text in zip(ADDED, values, strict=True))


@pytest.mark.parametrize(
    "header",
    [
        ("x", b"1"),
        ("x", b""),
        ("x", None),
        ("traceparent", b"00-1"),
        ("correlation-id", LONG + b"x"),
        ("event-id", b"e"),
        ("__connect.errors.topic", b"other"),
        ("__connect.errors.exception.message", b"of Kafka Connect"),
        ("__connect.errors.exception.class.name", b"java.lang.Exception"),
        ("voltpay-dlq-code", b"bad-json"),
        ("voltpay-dlq-sqlstate", b"22001"),
        ("voltpay-dlq-failed-at", EARLIER),
        ("voltpay-dlq-attempts", b"3"),
        ("Voltpay-DLQ-attempt", b"3"),
    ],
)
def test_a_letter_keeps_each_header_of_its_record(header: tuple[str, bytes | None]) -> None:
    """Whatever a record came with stays before what is added, once or repeated, in its order."""
    for came in ((header,), (header, header), (("a", b"1"), header, ("b", None))):
        assert letter(came) == (*came, *added())


@pytest.mark.parametrize(
    ("told", "attempt"),
    [
        ((b"1",), 2),
        ((b"0",), 1),
        ((b"007",), 8),
        ((b"2", b"5"), 6),
        ((b"5", b"2"), 3),
        ((b"5", None), 1),
        ((b"999999999",), 1_000_000_000),
        ((b"1000000000",), 1),
        *(((text,), 1) for text in (b"", b"x", b"-1", b"+1", b"1.5", b" 1", b"\xb2", b"1_0")),
    ],
)
def test_an_attempt_counts_on(told: tuple[bytes | None, ...], attempt: int) -> None:
    """The last attempt that a record came with counts, and none that is not a small number."""
    came = tuple((ATTEMPT, text) for text in told)
    assert attempts(came) == attempt - 1
    assert letter(came) == added(attempt)


@pytest.mark.parametrize(
    ("told", "first_failed"),
    [
        ((EARLIER,), EARLIER.decode()),
        ((b"x", EARLIER), EARLIER.decode()),
        ((EARLIER, b""), FAILED_AT),
        ((b"",), FAILED_AT),
        ((None,), FAILED_AT),
        ((b"x" * 39,), "x" * 39),
        ((b"x" * 40,), FAILED_AT),
        ((b"\xff",), "\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_a_first_failure_stays(told: tuple[bytes | None, ...], first_failed: str) -> None:
    """The last first failure that a record came with stays, unless it is empty or no time."""
    assert letter(tuple((FIRST_FAILED, text) for text in told)) == added(1, first_failed)


@pytest.mark.parametrize(
    ("came", "passed_on"),
    [
        ((), ()),
        ((("x", b"1"),), ()),
        ((("traceparent", b"t"),), (("traceparent", b"t"),)),
        ((("traceparent", b""),), (("traceparent", b""),)),
        ((("traceparent", None),), ()),
        ((("traceparent", b"t"), ("traceparent", None)), ()),
        ((("traceparent", b"1"), ("traceparent", b"2")), (("traceparent", b"2"),)),
        ((("traceparent", LONG),), (("traceparent", LONG),)),
        ((("traceparent", LONG + b"x"),), ()),
        (
            (("correlation-id", b"c"), ("tracestate", b"s"), ("traceparent", b"t")),
            (("traceparent", b"t"), ("correlation-id", b"c")),
        ),
        ((("event-id", b"other"), ("voltpay-dlq-attempt", b"2")), ()),
    ],
)
def test_an_event_has_its_id_the_fixed_headers_and_the_trace(
    came: Headers, passed_on: Headers
) -> None:
    """Of a record's headers an event gets the last short trace and correlation alone."""
    fixed = (("b", b"1"), ("a", b"2"))
    new = NewPayment("m", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
    payment = Payment(PaymentIdGenerator(lambda: 0).mint(0), new)
    for event in Codec(event_headers=fixed).events(Written(record(came), payment)):
        (name, _), *others = event.headers
        assert (name, tuple(others)) == ("event-id", (*fixed, *passed_on))


def test_a_letter_of_others_loses_what_is_named_like_ours() -> None:
    """A letter that names no topic was not made by the writer: what looks added is not sent."""
    foreign = (("voltpay-dlq-code", b"x"), ("a", b"1"), (ATTEMPT, b"2"))
    assert without_letter_headers(foreign) == foreign[1:]


@given(headers, st.integers(1, 3))
def test_a_replay_has_the_headers_of_the_record(came: Headers, times: int) -> None:
    """However often a letter is replayed, what its record came with goes back, and the count."""
    own = tuple(header for header in came if header[0] not in {ATTEMPT, FIRST_FAILED})
    replayed = came
    for _ in range(times):
        before = attempts(replayed)
        told = dict(letter(replayed))
        replayed = without_letter_headers(letter(replayed))
        count = ((ATTEMPT, str(before + 1).encode()), (FIRST_FAILED, told[FIRST_FAILED]))
        assert replayed == (*own, *count)
