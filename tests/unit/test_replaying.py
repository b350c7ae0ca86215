"""Replays of dead letters to the input topic."""

from datetime import UTC, datetime, timedelta

import pytest
from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.testing.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_core.codec import (
    ATTEMPT_HEADER,
    FAILED_HEADER,
    FIRST_FAILED_HEADER,
    Codec,
    without_letter_headers,
)
from voltpay_core.dead_letters import DeadLetter, counts, hourly
from voltpay_core.errors import Misconfigured, Rejected, Unavailable
from voltpay_core.outcomes import DeadLettered
from voltpay_core.ports import PollResult, Publication
from voltpay_core.records import Partition, ProducerRecord, Record
from voltpay_core.replaying import Replayed, ReplayPlan, plans, replay

NOW = datetime(2025, 1, 31, tzinfo=UTC)
CODES = ("bad-json", "key-missing", "refused-by-database")

letters = st.builds(
    lambda code, attempt, partition, key, value: (code, attempt, partition, key, value),
    st.sampled_from(CODES),
    st.integers(1, 6),
    st.integers(0, 2),
    st.none() | st.binary(max_size=3),
    st.none() | st.binary(max_size=3),
)
topics = st.lists(letters, max_size=20)


def letter(
    code: str, attempt: int, key: bytes | None, value: bytes | None, now: datetime = NOW
) -> ProducerRecord:
    """A dead letter of the writer, for a message with this number of failures."""
    headers = ((ATTEMPT_HEADER, b"%d" % (attempt - 1)), ("traceparent", b"00-1"))
    record = Record(Partition("in", 3), 14, 1_700_000_000_000, key, value, headers)
    return Codec().dead_letter(DeadLettered(record, Rejected(code, "because")), now)


def filled(found: list[tuple[str, int, int, bytes | None, bytes | None]]) -> MemoryLog:
    log = MemoryLog("dlq")
    for code, attempt, partition, key, value in found:
        event = letter(code, attempt, key, value)
        log.append(value, key=key, partition=partition, headers=event.headers)
    return log


def reader(log: MemoryLog) -> MemorySource:
    source = MemorySource(log)
    source.assign(log.partitions)
    return source


@given(found=topics, code=st.sampled_from(CODES), max_attempts=st.integers(1, 7))
def test_all_letters_of_the_code_go_back_and_no_other(
    found: list[tuple[str, int, int, bytes | None, bytes | None]], code: str, max_attempts: int
) -> None:
    """Each letter of the code is sent back once, in order, unless it has failed too often."""
    events = MemoryPublisher()
    log = filled(found)
    done = replay(reader(log), events, "in", None, code=code, max_attempts=max_attempts)
    ours = [item for item in found if item[0] == code]
    sent = [item for item in ours if item[1] < max_attempts]
    assert done == Replayed(len(sent), len(ours) - len(sent))
    assert sorted((e.key, e.value) for e in events.events if e.key and e.value) == sorted(
        (key, value) for *_, key, value in sent if key and value
    )
    assert {event.topic for event in events.events} <= {"in"}
    again = replay(reader(log), events, "in", None, code=code, max_attempts=max_attempts)
    assert again == Replayed(0, 0)


@given(found=topics, limits=st.lists(st.integers(1, 3), max_size=12))
def test_a_limit_only_cuts_the_way_into_pieces(
    found: list[tuple[str, int, int, bytes | None, bytes | None]], limits: list[int]
) -> None:
    """Replays by any limits, one after the other, send what one without a limit sends."""
    whole, pieces = MemoryPublisher(), MemoryPublisher()
    replay(reader(filled(found)), whole, "in", None, code=CODES[0], max_attempts=5)
    log = filled(found)
    for limit in (*limits, None):
        done = replay(reader(log), pieces, "in", None, code=CODES[0], max_attempts=5, limit=limit)
        assert limit is None or done.replayed <= limit
    assert pieces.events == whole.events


def test_a_letter_goes_back_as_the_message_it_was() -> None:
    """Key, value and original headers are unchanged; two of the added headers stay."""
    log, events = MemoryLog("dlq"), MemoryPublisher()
    event = letter("bad-json", 2, b"7", b"{")
    log.append(event.value, key=event.key, headers=event.headers)
    replay(reader(log), events, "in", None, code="bad-json", max_attempts=5)
    (sent,) = events.events
    assert (sent.key, sent.value, sent.timestamp) == (b"7", b"{", None)
    assert dict(sent.headers) == {
        "traceparent": b"00-1",
        ATTEMPT_HEADER: b"2",
        FIRST_FAILED_HEADER: b"2025-01-31T00:00:00.000Z",
    }


class Refusing(MemoryPublisher):
    """A topic that acknowledges nothing."""

    def publish(self, events: object) -> Publication:
        return self

    def wait(self) -> None:
        raise Unavailable("refused")


def test_what_is_not_acknowledged_by_the_broker_stays() -> None:
    """A letter is acknowledged only after the broker's answer."""
    log, events = filled([(CODES[0], 1, 0, b"1", b"x")]), MemoryPublisher()
    with pytest.raises(Unavailable):
        replay(reader(log), Refusing(), "in", None, code=CODES[0], max_attempts=5)
    assert log.acknowledged == {}
    assert replay(reader(log), events, "in", None, code=CODES[0], max_attempts=5) == Replayed(1, 0)


def test_a_replay_can_be_stopped() -> None:
    """A stop ends the replay before its next chunk."""
    log = filled([(CODES[0], 1, 0, b"1", b"x")])
    done = replay(
        reader(log), MemoryPublisher(), "in", None, code=CODES[0], max_attempts=5, stop=lambda: True
    )
    assert done == Replayed(0, 0)


@given(found=topics, max_attempts=st.integers(1, 7))
def test_a_plan_tells_what_a_replay_does(
    found: list[tuple[str, int, int, bytes | None, bytes | None]], max_attempts: int
) -> None:
    """A replay sends and parks exactly the letters of its plan."""
    log = filled(found)
    records = [record for records in log.partitions.values() for record in records]
    planned = plans(records, max_attempts=max_attempts, now=NOW, claims_kept=timedelta(days=7))
    assert sum(counts(map(DeadLetter.read, records)).values()) == len(found)
    for code in CODES:
        done = replay(
            reader(filled(found)),
            MemoryPublisher(),
            "in",
            None,
            code=code,
            max_attempts=max_attempts,
        )
        plan = planned.get(code, ReplayPlan())
        assert (plan.replayable, plan.parked) == (done.replayed, done.parked)
        assert plan.beyond_retention == 0


@given(age=st.timedeltas(timedelta(0), timedelta(days=30)))
def test_letters_older_than_claims_are_reported(age: timedelta) -> None:
    """A letter is beyond retention if its first failure is older than claims are kept."""
    event = letter("bad-json", 1, b"1", b"x", NOW - age)
    record = Record(Partition("dlq", 0), 0, 0, event.key, event.value, event.headers)
    kept = timedelta(days=7)
    planned = plans([record], max_attempts=5, now=NOW, claims_kept=kept)
    beyond = NOW - DeadLetter.read(record).first_failed_at > kept
    assert planned["bad-json"].beyond_retention == beyond


def test_a_letter_is_old_after_the_time_that_claims_are_kept() -> None:
    """A letter that is just as old as claims are kept still finds them."""
    event = letter("bad-json", 1, b"1", b"x", NOW - timedelta(days=7))
    record = Record(Partition("dlq", 0), 0, 0, event.key, event.value, event.headers)
    for late, beyond in ((timedelta(0), 0), (timedelta(milliseconds=1), 1)):
        kept = timedelta(days=7) - late
        planned = plans([record, record], max_attempts=5, now=NOW, claims_kept=kept)
        assert planned == {"bad-json": ReplayPlan(replayable=2, beyond_retention=2 * beyond)}


def test_a_letter_may_wait_until_it_is_read() -> None:
    """A letter's claim is kept for as long as the letter may wait in the input topic."""
    event = letter("bad-json", 1, b"1", b"x", NOW - timedelta(days=6))
    record = Record(Partition("dlq", 0), 0, 0, event.key, event.value, event.headers)
    week, day = timedelta(days=7), timedelta(days=1)
    for wait, beyond in ((day, 0), (day + timedelta(milliseconds=1), 1)):
        planned = plans([record], max_attempts=5, now=NOW, claims_kept=week, input_retention=wait)
        assert planned["bad-json"].beyond_retention == beyond


def test_a_letter_says_where_it_is_and_comes_from() -> None:
    """The place of a letter, that of its record, and everything else that its headers say."""
    event = letter("bad-json", 3, b"7", b"{")
    record = Record(Partition("dlq", 1), 9, 0, event.key, event.value, event.headers)
    assert DeadLetter.read(record) == DeadLetter(
        code="bad-json",
        location="dlq-1@9",
        origin="in-3@14",
        attempt=3,
        first_failed_at=NOW,
        failed_at=NOW,
        recorded_at=datetime(1970, 1, 1, tzinfo=UTC),
        reason="because",
        key_bytes=1,
        value_bytes=1,
        headers=1,
        header_bytes=15,
    )


@pytest.mark.parametrize(
    ("header", "timestamp", "instant"),
    [
        (b"2025-01-31T00:00:00Z", 5, NOW),
        (b"2025-01-31T02:00:00+02:00", 5, NOW),
        (b"0001-01-01T00:00:00+02:00", 1_738_281_600_000, NOW),  # in UTC of no year
        (b"2025-01-31T00:00:00", 1_738_281_600_000, NOW),  # of no time zone
        (b"yesterday", 1_738_281_600_000, NOW),
        (None, 1_738_281_600_000, NOW),
        (None, 253_402_300_800_000, datetime.max.replace(microsecond=999_000, tzinfo=UTC)),
        *((None, nothing, datetime(1970, 1, 1, tzinfo=UTC)) for nothing in (None, 0, -1)),
    ],
)
def test_a_first_failure_is_that_of_the_header_or_the_record(
    header: bytes | None, timestamp: int | None, instant: datetime
) -> None:
    """A header without a time that can be read leaves the timestamp of the letter."""
    failed = ((FIRST_FAILED_HEADER, header), (FAILED_HEADER, header))
    headers = (*failed, ("__connect.errors.exception.message", b"a\x07b"))
    found = DeadLetter.read(Record(Partition("dlq", 0), 0, timestamp, None, None, headers))
    assert (found.code, found.location, found.origin) == ("unknown", "dlq-0@0", "-@")
    assert (found.attempt, found.first_failed_at, found.failed_at) == (1, instant, instant)
    assert found.reason == "a\N{REPLACEMENT CHARACTER}b"


@define
class Slow(MemorySource):
    """A source that gives no more than so many records at a time."""

    chunk: int = 1

    def poll(self, limit: int) -> PollResult:
        return super().poll(min(limit, self.chunk))


@pytest.mark.parametrize(
    ("codes", "limit", "sent", "committed"),
    [
        ("aaa", 0, 0, None),
        ("aaa", 2, 2, 2),
        ("abab", 1, 1, 1),
        ("babab", 2, 2, 4),
        ("aabb", 3, 2, 4),
        ("aaaa", 3, 3, 3),  # cut in the middle of a poll
        ("aaa", None, 3, 3),
    ],
)
@pytest.mark.parametrize("chunk", [1, 2, 500])
def test_a_limit_commits_what_it_has_looked_at(
    codes: str, limit: int | None, sent: int, committed: int | None, chunk: int
) -> None:
    """Offsets are committed behind the last letter that was looked at, and none behind it."""
    named = {"a": CODES[0], "b": CODES[1]}
    log, events = filled([(named[code], 1, 0, b"1", b"x") for code in codes]), MemoryPublisher()
    options = {"code": CODES[0], "max_attempts": 5}
    source = Slow(log, chunk)
    source.assign(log.partitions)
    done = replay(source, events, "in", None, limit=limit, **options)  # type: ignore[arg-type]
    assert (done, len(events.events)) == (Replayed(sent, 0), sent)
    assert log.acknowledged.get(Partition("dlq", 0)) == committed


def test_letters_beyond_retention_are_not_sent() -> None:
    """A replay rejects letters whose claims may be gone, and sends nothing (G1)."""
    log, events = filled([(CODES[0], 1, 0, b"1", b"x")]), MemoryPublisher()
    plan = ReplayPlan(replayable=1, beyond_retention=1)
    with pytest.raises(Misconfigured, match="1 letters are older") as caught:
        replay(reader(log), events, "in", plan, code=CODES[0], max_attempts=5)
    assert caught.value.code == "letters-beyond-retention"
    assert events.events == []
    plan = ReplayPlan(replayable=1)
    assert replay(reader(log), events, "in", plan, code=CODES[0], max_attempts=5) == Replayed(1, 0)


@pytest.mark.parametrize(
    ("plan", "text"),
    [
        (ReplayPlan(3), "3 to replay"),
        (
            ReplayPlan(3, beyond_retention=1),
            "3 to replay, 1 of them older than claims are kept",
        ),
        (ReplayPlan(3, parked=2), "3 to replay; 2 failed too often and stay"),
        (
            ReplayPlan(3, 2, 1),
            "3 to replay, 1 of them older than claims are kept; 2 failed too often and stay",
        ),
    ],
)
def test_a_plan_is_a_sentence(plan: ReplayPlan, text: str) -> None:
    """A plan says what it does, and only what there is to say."""
    assert str(plan) == text


headers = st.lists(
    st.tuples(
        st.sampled_from(("voltpay-dlq-code", ATTEMPT_HEADER, FIRST_FAILED_HEADER, "x"))
        | st.just("__connect.errors.exception.message"),
        st.none() | st.binary(max_size=30) | st.just(b"9999-12-31T23:59:59"),
    )
).map(tuple)


@given(headers=headers, timestamp=st.none() | st.integers(-(2**63), 2**63 - 1))
def test_any_record_can_be_read_as_a_letter(
    headers: tuple[tuple[str, bytes | None], ...], timestamp: int | None
) -> None:
    """Any record of the topic is read as a letter, and can be printed on a terminal."""
    found = DeadLetter.read(Record(Partition("dlq", 0), 0, timestamp, None, None, headers))
    assert found.reason.isprintable()
    assert found.code
    assert found.first_failed_at.tzinfo is UTC
    assert set(without_letter_headers(headers)) <= set(headers)


moments = st.datetimes(timezones=st.timezones())


@given(found=st.lists(st.tuples(st.sampled_from(CODES), moments), max_size=20))
def test_letters_are_counted_by_the_hour(found: list[tuple[str, datetime]]) -> None:
    """Each letter counts in the UTC hour of its first failure, and the newest hour comes first."""
    read = []
    for code, moment in found:
        headers = (("voltpay-dlq-code", code.encode()), (FIRST_FAILED_HEADER, str(moment).encode()))
        read.append(DeadLetter.read(Record(Partition("dlq", 0), 0, 0, None, b"", headers)))
    by_hour = hourly(read)
    assert list(by_hour) == sorted(by_hour, reverse=True)
    for hour, codes in by_hour.items():
        within = [
            letter for letter in read if hour <= letter.first_failed_at < hour + timedelta(hours=1)
        ]
        assert (hour.minute, hour.second, hour.microsecond) == (0, 0, 0)
        assert hour.utcoffset() == timedelta(0)
        assert codes == counts(within)
    assert sum(sum(codes.values()) for codes in by_hour.values()) == len(found)
