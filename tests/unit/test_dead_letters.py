"""What is told of dead letters, which are looked at, and the files to which they are exported."""

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness import strategies

from voltpay_adapters.local.files import FileDeadLetters, FilePublisher, new_payment_file
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_core.codec import Codec, without_letter_headers
from voltpay_core.dead_letters import DeadLetter, Selection, find
from voltpay_core.errors import Misconfigured, Rejected
from voltpay_core.outcomes import DeadLettered
from voltpay_core.records import Headers, Partition, Record
from voltpay_core.replaying import export

NOW = datetime(2026, 1, 31, 12, tzinfo=UTC)
TRACE = "0af7651916cd43dd8448eb211c80319c"
REFUSED = Rejected("refused-by-database", "because", sqlstate="23514", constraint="amount_check")


def letter(
    headers: Headers = (),
    reason: Rejected = REFUSED,
    now: datetime = NOW,
    key: bytes | None = b"42",
    value: bytes | None = b"secret",
    offset: int = 0,
) -> Record:
    """The dead letter of a record with these headers, as it is read from its topic."""
    came = Record(Partition("in", 3), 14, 1_700_000_000_000, key, value, headers)
    made = Codec().dead_letter(DeadLettered(came, reason), now)
    return Record(Partition("dlq", 1), offset, made.timestamp, made.key, made.value, made.headers)


def test_everything_is_told_but_the_payment() -> None:
    """A letter tells its code, reason, times, database error, ids and sizes."""
    headers = (
        ("traceparent", f"00-{TRACE}-b7ad6b7169203331-01".encode()),
        ("correlation-id", b"order:4711_a.b-c"),
    )
    found = DeadLetter.read(letter(headers))
    assert found == DeadLetter(
        code="refused-by-database",
        location="dlq-1@0",
        origin="in-3@14",
        attempt=1,
        first_failed_at=NOW,
        failed_at=NOW,
        recorded_at=datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC),
        reason="because",
        sqlstate="23514",
        constraint="amount_check",
        trace_id=TRACE,
        correlation_id="order:4711_a.b-c",
        key_bytes=2,
        value_bytes=6,
        headers=2,
        header_bytes=len("traceparentcorrelation-id") + 55 + 16,
    )
    nothing = DeadLetter.read(letter(key=None, value=None))
    assert (nothing.key_bytes, nothing.value_bytes, nothing.headers) == (None, None, 0)


@pytest.mark.parametrize(
    "text", [b"", b"x" * 65, b"a b", b"4111\n", b"\x1b[31m", "ü".encode(), b"\xff", b"<a>"]
)
def test_an_id_is_told_only_if_it_is_harmless(text: bytes) -> None:
    """An id of a producer is told if it is short, and of letters, digits and ``._:-`` alone."""
    found = DeadLetter.read(letter((("correlation-id", text), ("traceparent", text))))
    assert (found.correlation_id, found.trace_id) == (None, None)


def test_what_a_record_came_with_is_not_told_as_ours() -> None:
    """Headers with names of ours that came with a record say nothing about its failure."""
    forged = (
        ("voltpay-dlq-sqlstate", b"hush"),
        ("voltpay-dlq-constraint", b"hush"),
        ("voltpay-dlq-failed-at", b"2020-01-01T00:00:00Z"),
    )
    found = DeadLetter.read(letter(forged, Rejected("bad-json", "no JSON")))
    assert (found.sqlstate, found.constraint, found.failed_at) == (None, None, NOW)
    assert found.headers == 3


@pytest.mark.parametrize(
    ("selection", "chosen"),
    [
        (Selection(), "abc"),
        (Selection(code="bad-json"), "a"),
        (Selection(since=NOW), "bc"),
        (Selection(until=NOW), "a"),
        (Selection(since=NOW, until=NOW + timedelta(hours=1)), "b"),
        (Selection(code="bad-json", since=NOW), ""),
    ],
)
def test_a_selection_is_of_a_code_and_of_a_time(selection: Selection, chosen: str) -> None:
    """A letter belongs to the hour in which it failed last: its start included, its end not."""
    hour = timedelta(hours=1)
    letters = {
        "a": letter(reason=Rejected("bad-json", "x"), now=NOW - hour),
        "b": letter(now=NOW),
        "c": letter(now=NOW + hour),
    }
    assert "".join(n for n, each in letters.items() if selection.has(DeadLetter.read(each))) == (
        chosen
    )


def in_a_file(folder: Path, *letters: Record) -> FileDeadLetters:
    with closing(FilePublisher(folder)) as publisher:
        for each in letters:
            made = Codec().dead_letter(DeadLettered(each, REFUSED), NOW)
            publisher.publish([made]).wait()
    return FileDeadLetters(folder / "payment_writer_dlq.jsonl")


def test_a_letter_is_found_by_its_place(tmp_path: Path) -> None:
    """The place that a letter tells finds it again, and no other place does."""
    records = [Record(Partition("in", 0), n, None, b"%d" % n, b"x") for n in range(3)]
    letters = in_a_file(tmp_path, *records)
    for record in letters.browse():
        assert find(letters, DeadLetter.read(record).location) == record
    for gone in ("payment_writer_dlq-0@3", "payment_writer_dlq-1@0", "other-0@0"):
        with pytest.raises(Misconfigured, match="has expired, or was never there") as caught:
            find(letters, gone)
        assert caught.value.code == "no-letter"


@pytest.mark.parametrize("text", ["", "x", "dlq-1", "dlq@1", "dlq-x@1", "dlq-1@-1", "dlq-1@1x"])
def test_a_place_has_its_form(text: str, tmp_path: Path) -> None:
    """Whatever is no place is rejected with the form of one."""
    with pytest.raises(Misconfigured, match="TOPIC-PARTITION@OFFSET"):
        find(in_a_file(tmp_path), text)


keys = st.none() | st.binary(max_size=8) | st.integers(0, 99).map(lambda n: str(n).encode())
values = (
    st.none()
    | st.binary(max_size=40)
    | st.text(max_size=20).map(str.encode)
    | st.integers(0, 99).map(lambda n: b'{"messageId":"m","accountId":%d}' % n)
)


@given(
    came=st.lists(st.tuples(keys, values, strategies.headers), max_size=12),
)
def test_an_export_is_consumed_as_the_records_that_failed(
    came: list[tuple[bytes | None, bytes | None, Headers]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A source of the exported file reads the records, byte for byte, that a replay would send."""
    path = tmp_path_factory.mktemp("export") / "letters.jsonl"
    letters = [letter(headers, key=key, value=value) for key, value, headers in came]
    with new_payment_file(str(path)) as publisher:
        assert export(letters, publisher, "in", oldest=None) == len(letters)
    assert path.stat().st_mode & 0o777 == 0o600
    with (
        closing(SqliteDatabase(":memory:")) as database,
        closing(FileSource(str(path), database.begin)) as source,
    ):
        source.seek_to_committed(source.poll(1).assigned)
        records: list[Record] = []
        while len(records) < len(letters):
            records += source.poll(100).records
        assert not source.poll(1).records
    assert [(r.key, r.value, r.headers) for r in records] == [
        (each.key, each.value, without_letter_headers(each.headers)) for each in letters
    ]


def test_an_export_leaves_nothing_behind_that_failed(tmp_path: Path) -> None:
    """A letter whose claims may be gone ends the export, and a file that exists is not touched."""
    path = tmp_path / "letters.jsonl"
    letters = [letter(offset=0), letter(now=NOW - timedelta(days=8), offset=9)]
    oldest = NOW - timedelta(days=7)
    with (
        pytest.raises(Misconfigured, match="the letter at dlq-1@9 is older") as caught,
        new_payment_file(str(path)) as publisher,
    ):
        export(letters, publisher, "in", oldest=oldest)
    assert caught.value.code == "letters-beyond-retention"
    assert not path.exists()
    path.write_text("mine")
    with (
        pytest.raises(Misconfigured, match="exists already: name a new file"),
        new_payment_file(str(path)),
    ):
        pass
    assert path.read_text() == "mine"


def test_an_export_can_be_stopped() -> None:
    """A stop ends an export between two chunks, and all chunks count."""
    events, asked = MemoryPublisher(), iter([False, False, True])
    letters = (letter() for _ in range(1200))
    assert export(letters, events, "in", oldest=NOW, stop=lambda: next(asked)) == 1000
    assert len(events.events) == 1000
