"""JSON lines pass the contracts of sources and publishers, and what is special about files."""

import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.local import appending
from voltpay_adapters.local.files import (
    FileDeadLetters,
    FilePublisher,
    PaymentFilePublisher,
    read_events,
)
from voltpay_adapters.local.lines import envelope
from voltpay_adapters.local.reading import CHUNK_BYTES
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.testing.contracts import source as contract
from voltpay_adapters.testing.contracts.events import EventsContract
from voltpay_adapters.testing.contracts.source import SourceContract, collect
from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.ports import MessageSource
from voltpay_core.records import Headers, Partition, ProducerRecord, Record


@define
class FileTopic:
    """One file of payments, and the database that keeps its position."""

    folder: Path
    database: SqliteDatabase = field(factory=lambda: SqliteDatabase(":memory:"))
    told: list[str] = field(factory=list, init=False)
    _opened: list[FileSource] = field(factory=list, init=False)

    @property
    def path(self) -> Path:
        return self.folder / "payments.jsonl"

    @property
    def partitions(self) -> Sequence[Partition]:
        return [Partition(str(self.path), 0)]

    def produce(
        self,
        partition: Partition,
        value: bytes | None,
        key: bytes | None = b"1",
        headers: Headers = (),
        timestamp: int = 1_700_000_000_000,
    ) -> None:
        with closing(FilePublisher(self.folder)) as events:
            events.publish(
                [ProducerRecord("payments", key, value, headers, None, timestamp)]
            ).wait()

    def open(self) -> FileSource:
        self._opened.append(FileSource(str(self.path), self.database.begin, self.told.append))
        return self._opened[-1]

    def close(self, source: MessageSource) -> None:
        for opened in self._opened:
            if opened is source:
                opened.close()

    def replace(self) -> None:
        self.path.unlink()

    def close_all(self) -> None:
        for opened in self._opened:
            opened.close()
        self.database.close()


@pytest.fixture
def topic(tmp_path: Path) -> Iterator[FileTopic]:
    topic = FileTopic(tmp_path)
    yield topic
    topic.close_all()


class TestFileSource(SourceContract):
    @pytest.fixture
    def harness(self, topic: FileTopic, monkeypatch: pytest.MonkeyPatch) -> FileTopic:
        monkeypatch.setattr(contract, "PATIENCE", 10)  # a file has at once what it will ever have
        return topic


def a_source(topic: FileTopic) -> tuple[FileSource, list[bytes | None]]:
    """A source that has come to the file's end, and the values of all that it brought."""
    source = topic.open()
    return source, [record.value for record in brought(source)]


def brought(source: FileSource) -> list[Record]:
    records: list[Record] = []
    while not source.drained():
        polled = source.poll(100)
        if polled.assigned:
            source.seek_to_committed(polled.assigned)
        if polled.positions:
            source.acknowledge(polled.positions)
        records += polled.records
    return records


def test_a_line_is_a_payment_of_the_account_that_it_names(topic: FileTopic) -> None:
    """A plain line is a value under its account's key; one that names none has no key."""
    lines = [
        b'{"messageId": "a", "accountId": 7}',
        b'{"messageId": "b", "custId": 8, "value": "x"}',
        b'{"messageId": "c"}',
        b"no JSON",
        b'{"value": "v", "key": "k", "headers": {"h": "x"}}',
        b"\xff",
    ]
    topic.path.write_bytes(b"\n\n".join(lines) + b"\r\n \n")
    records = brought(topic.open())
    assert [record.key for record in records] == [b"7", b"8", None, None, b"k", None]
    assert [record.value for record in records[:4]] == lines[:4]
    assert (records[4].value, records[4].headers) == (b"v", (("h", b"x"),))


@given(
    st.dictionaries(
        st.sampled_from(["key", "key_base64", "value", "value_base64", "headers", "timestamp"]),
        st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()),
    )
)
def test_unknown_fields_of_a_payment_are_ignored(
    topic: FileTopic, foreign: dict[str, object]
) -> None:
    """A payment stays one, whatever fields of an envelope it happens to have, read or written."""
    value = json.dumps({**foreign, "messageId": "a", "accountId": 7}).encode()
    topic.path.write_bytes(value + b"\n")
    with closing(PaymentFilePublisher(str(topic.path))) as payments:
        payments.publish([ProducerRecord("payments", b"7", value)])
    assert topic.path.read_bytes() == (value + b"\n") * 2
    source = topic.open()
    records = brought(source)
    source.start_over()
    topic.close(source)
    assert [(record.key, record.value, record.headers) for record in records] == [
        (b"7", value, ())
    ] * 2


def test_a_last_line_needs_no_newline(topic: FileTopic) -> None:
    """What stands behind the last newline is a record too."""
    topic.path.write_bytes(b"one\ntwo")
    assert a_source(topic)[1] == [b"one", b"two"]


def test_lines_longer_than_a_chunk_are_whole(topic: FileTopic) -> None:
    """A line is one record, however many reads it takes."""
    long = b"x" * (3 * CHUNK_BYTES + 7)
    topic.path.write_bytes(b"a\n" + long + b"\nb\n")
    assert a_source(topic)[1] == [b"a", long, b"b"]


def test_a_killed_run_resumes(topic: FileTopic) -> None:
    """A new source begins after the last acknowledged line, and a notice says so."""
    topic.path.write_bytes(b"one\ntwo\nthree\n")
    source = topic.open()
    source.seek_to_committed(source.poll(1).assigned)
    first = source.poll(1)
    source.acknowledge(first.positions)
    assert [record.value for record in source.poll(1).records] == [b"two"]
    topic.close(source)
    assert a_source(topic)[1] == [b"two", b"three"]
    assert [text.rpartition(": ")[2] for text in topic.told] == [
        "reading from its beginning",
        "reading at byte 4",
    ]


def test_another_file_under_the_same_name_starts_from_its_beginning(topic: FileTopic) -> None:
    """Other content is read from its beginning, and the first one again where it was."""
    topic.path.write_bytes(b"one\n")
    topic.close(a_source(topic)[0])
    topic.path.write_bytes(b"other\n")
    source, values = a_source(topic)
    assert values == [b"other"]
    topic.close(source)
    topic.path.write_bytes(b"one\n")
    assert a_source(topic)[1] == []


def test_a_file_can_be_read_once_more(topic: FileTopic) -> None:
    """After a start over a file is read from its first byte."""
    topic.path.write_bytes(b"one\ntwo\n")
    for _ in range(2):
        source, values = a_source(topic)
        assert values == [b"one", b"two"]
        source.start_over()
        topic.close(source)


def test_a_file_has_one_reader(topic: FileTopic) -> None:
    """A file that another process reads, or that cannot be read, is bad configuration."""
    topic.path.write_bytes(b"one\n")
    topic.open()
    with pytest.raises(Misconfigured, match="another process"):
        topic.open()
    with pytest.raises(Misconfigured, match="cannot read"):
        FileSource(str(topic.folder), topic.database.begin)


def test_a_file_that_cannot_be_locked_is_read(
    topic: FileTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If a file system such as NFS cannot lock the file, it is read, and a notice says so."""

    def no_lock(file: object, operation: int) -> None:
        raise OSError(errno.EBADF, "Bad file descriptor")

    monkeypatch.setattr(fcntl, "flock", no_lock)
    topic.path.write_bytes(b"one\n")
    assert a_source(topic)[1] == [b"one"]
    assert "others can read it, too" in topic.told[0]


def test_a_pipe_is_read_as_the_standard_input(topic: FileTopic) -> None:
    """A source that cannot be continued after a stop is rejected, with a code for its remedy."""
    os.mkfifo(topic.path)
    with (
        closing(os.fdopen(os.open(topic.path, os.O_RDWR), "wb")),
        pytest.raises(Misconfigured, match="not a regular file") as caught,
    ):
        topic.open()
    assert "file:-" in with_remedy(caught.value)


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_files_of_windows_are_read(topic: FileTopic, newline: str) -> None:
    """Neither a byte order mark nor a carriage return is part of a record; offsets count both."""
    lines = ['{"messageId": "a", "accountId": 7}', "{}", "no JSON"]
    content = newline.join(["\ufeff" + lines[0], *lines[1:], ""]).encode()
    topic.path.write_bytes(content)
    records = brought(topic.open())
    assert [record.value for record in records] == [line.encode() for line in lines]
    assert [record.key for record in records] == [b"7", None, None]
    ends = [place for place, byte in enumerate(content) if byte == ord("\n")]
    assert [record.offset for record in records] == ends


def test_a_carriage_return_of_a_payment_is_kept(topic: FileTopic) -> None:
    """A value that ends like a line of Windows is written so that it is read as it was."""
    value = b'{"messageId": "a", "accountId": 7}\r'
    PaymentFilePublisher(str(topic.path)).publish([ProducerRecord("payments", b"7", value)])
    (record,) = brought(topic.open())
    assert (record.key, record.value) == (b"7", value)


def test_a_file_may_have_any_name(topic: FileTopic) -> None:
    """A name that is not UTF-8 is a partition like others: in events, outbox and position."""
    path = topic.folder / os.fsdecode(b"caf\xe9.jsonl")
    path.write_bytes(b"one\ntwo\n")
    for limit, value in ((1, b"one"), (9, b"two")):
        with closing(FileSource(str(path), topic.database.begin)) as source:
            source.seek_to_committed(source.poll(0).assigned)
            polled = source.poll(limit)
            (record,) = polled.records
            assert record.value == value
            assert record.partition.topic.encode().endswith(rb"/caf\xe9.jsonl")
            source.acknowledge(polled.positions)


def test_payments_do_not_run_into_a_line_without_a_newline(topic: FileTopic) -> None:
    """What is appended begins a line of its own, and the last line stays whole."""
    topic.path.write_bytes(b"mine")
    PaymentFilePublisher(str(topic.path)).publish([ProducerRecord("payments", None, b"theirs")])
    assert a_source(topic)[1] == [b"mine", b"theirs"]


@define
class FileTopics:
    folder: Path
    topics: Sequence[str] = ("payment_read_topic", "payment_email")
    _opened: list[FilePublisher] = field(factory=list, init=False)

    def open(self) -> FilePublisher:
        self._opened.append(FilePublisher(self.folder))
        return self._opened[-1]

    def read(self, topic: str, count: int) -> Sequence[ProducerRecord]:
        path = self.folder / f"{topic}.jsonl"
        return read_events(path) if path.exists() else []

    @contextmanager
    def outage(self, topic: str) -> Iterator[None]:
        """A folder stands where the file was."""
        path, aside = self.folder / f"{topic}.jsonl", self.folder / "aside"
        path.rename(aside)
        path.mkdir()
        yield
        path.rmdir()
        aside.rename(path)

    def close(self) -> None:
        for events in self._opened:
            events.close()


class TestFileEvents(EventsContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[FileTopics]:
        with closing(FileTopics(tmp_path)) as harness:
            yield harness


def test_a_line_that_is_being_written_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process appends, its half line is not taken for torn; it is waited for."""
    path = tmp_path / "t.jsonl"
    path.write_bytes(b"half")
    holding = (
        "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.lockf(file, fcntl.LOCK_EX);"
        " print('held', flush=True); sys.stdin.read()"
    )
    monkeypatch.setattr(appending, "LOCK_SECONDS", 0.05)
    with subprocess.Popen(
        [sys.executable, "-c", holding, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        with pytest.raises(Unavailable, match=r"another process keeps .*t\.jsonl locked") as caught:
            FilePublisher(tmp_path).publish([ProducerRecord("t", b"k", b"v")])
        assert not caught.value.halt
        assert path.read_bytes() == b"half"
        other.communicate()
    FilePublisher(tmp_path).publish([ProducerRecord("t", b"k", b"v")])
    assert read_events(path) == [ProducerRecord("t", b"k", b"v")]


@pytest.mark.parametrize("last", [b"", b'{"key":"k","val', b"\n"])
def test_events_can_be_read_while_they_are_written(tmp_path: Path, last: bytes) -> None:
    """A partial line at the end is neither an event nor a failure."""
    whole = ProducerRecord("t", b"k", b"v")
    (tmp_path / "t.jsonl").write_bytes(envelope(whole) + b"\n" + last)
    assert read_events(tmp_path / "t.jsonl") == [whole]


def test_a_torn_line_is_cut_off(tmp_path: Path) -> None:
    """A partial line that a crash has left is removed before the next write."""
    whole = ProducerRecord("t", b"k", b"whole")
    with closing(FilePublisher(tmp_path)) as events:
        events.publish([whole])
    path = tmp_path / "t.jsonl"
    for torn in (b'{"key":"k","val', b"x" * (2 * CHUNK_BYTES)):
        with path.open("ab") as file:
            file.write(torn)
        with closing(FilePublisher(tmp_path)) as events:
            events.publish([whole])
    assert read_events(path) == [whole] * 3
    path.write_bytes(b"torn from the start")
    with closing(FilePublisher(tmp_path)) as events:
        events.publish([whole])
    assert read_events(path) == [whole]


@given(
    key=st.none() | st.binary(),
    value=st.none() | st.binary(),
    headers=st.lists(st.tuples(st.text(), st.none() | st.binary()), max_size=4).map(tuple),
    timestamp=st.none() | st.integers(-(2**63), 2**63 - 1),
)
def test_an_envelope_is_read_as_what_it_holds(
    topic: FileTopic,
    key: bytes | None,
    value: bytes | None,
    headers: Headers,
    timestamp: int | None,
) -> None:
    """An event that is written as an envelope is read back, as an event and as a record."""
    event = ProducerRecord("payments", key, value, headers, timestamp=timestamp)
    topic.path.write_bytes(envelope(event) + b"\n")
    assert read_events(topic.path) == [event]
    source = topic.open()
    (record,) = brought(source)
    topic.close(source)
    assert (record.key, record.value, record.headers) == (key, value, headers)
    assert record.timestamp == timestamp


def test_events_of_a_file_are_records_of_one_partition(tmp_path: Path) -> None:
    """A record of a file of events has all that the event has, and its number as the offset."""
    events = [
        ProducerRecord("t", b"k%d" % number, b"v%d" % number, (("h", b"x"),), timestamp=number)
        for number in range(3)
    ]
    FilePublisher(tmp_path).publish(events)
    assert list(FileDeadLetters(tmp_path / "t.jsonl").browse()) == [
        Record(Partition("t", 0), number, number, event.key, event.value, event.headers)
        for number, event in enumerate(events)
    ]
    assert list(FileDeadLetters(tmp_path / "none.jsonl").browse()) == []


def test_letters_of_a_file_are_not_replayed(tmp_path: Path) -> None:
    """Who wants to replay the letters of a file is told to consume a copy of it."""
    with pytest.raises(Misconfigured, match=r"copy.* t\.jsonl") as told:
        FileDeadLetters(tmp_path / "t.jsonl").source("bad-json")
    assert told.value.code == "letters-in-file"


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, Unavailable),
        (errno.EIO, Unavailable),
        (errno.ENOENT, Misconfigured),
        (errno.EACCES, Misconfigured),
    ],
)
def test_a_machine_that_fails_is_no_wrong_path(number: int, kind: type[Exception]) -> None:
    """A full or broken disk halts until a person helps; any other error is a wrong path."""
    failure = appending.cannot("write x", OSError(number, "why"))
    assert isinstance(failure, kind)
    assert str(failure) == "cannot write x: why"
    assert getattr(failure, "halt", True)


def test_a_file_that_is_no_events_is_reported(tmp_path: Path) -> None:
    """Reading events from another file is bad configuration."""
    (tmp_path / "t.jsonl").write_bytes(b"no envelope\n")
    with pytest.raises(Misconfigured, match=r"t\.jsonl"):
        read_events(tmp_path / "t.jsonl")
    with pytest.raises(Misconfigured, match=r"cannot read .*: Is a directory"):
        read_events(tmp_path)


def test_a_folder_that_cannot_be_made_is_bad_configuration(tmp_path: Path) -> None:
    """A wrong path for events is reported at the start, before anything is written."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "out", tmp_path / ("x" * 300)):
        with pytest.raises(Misconfigured, match=f"cannot write to {path}: "):
            FilePublisher(path)


def test_a_folder_that_vanishes_is_the_worlds_fault(tmp_path: Path) -> None:
    """If events cannot be written, `Unavailable` is raised, and no folder is created."""
    events = FilePublisher(tmp_path / "out")
    (tmp_path / "out").rmdir()
    with pytest.raises(Unavailable, match="No such file") as caught:
        events.publish([ProducerRecord("t", b"k", b"v")])
    assert caught.value.halt
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "line",
    [
        b'{"value_base64": "abc"}',
        b'{"value_base64": "!!!"}',
        b'{"value": "v", "key_base64": "\xc3\xa9"}',
        b'{"value": "v", "timestamp": 99999999999999999999}',
        b'{"value": "v", "timestamp": 1.5}',
    ],
)
def test_a_broken_envelope_is_a_line_like_others(topic: FileTopic, line: bytes) -> None:
    """A malformed envelope becomes a record with the whole line, and so a dead letter."""
    topic.path.write_bytes(line + b"\n")
    (record,) = collect(topic.open(), 1)
    assert (record.key, record.value) == (None, line)
