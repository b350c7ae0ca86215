"""JSON lines pass the contracts of sources and publishers, and what is special about files."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import pytest
from attrs import define, field
from tests.contracts.events import EventsContract
from tests.contracts.source import SourceContract

from voltpay_adapters.local.files import FileEvents, FileSource, read_events
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_core.messages import Event, Headers, Partition
from voltpay_core.ports import MessageSource


@define
class FileTopic:
    """One file of payments, and the database that keeps its position."""

    folder: Path
    database: SqliteDatabase = field(factory=lambda: SqliteDatabase(":memory:"))
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
        with closing(FileEvents(self.folder)) as events:
            events.publish([Event("payments", key, value, headers, None, timestamp)]).wait()

    def open(self) -> FileSource:
        self._opened.append(FileSource(str(self.path), self.database.begin))
        return self._opened[-1]

    def close(self, source: MessageSource) -> None:
        for opened in self._opened:
            if opened is source:
                opened.close()

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
    def harness(self, topic: FileTopic) -> FileTopic:
        return topic


@define
class FileTopics:
    folder: Path
    topics: Sequence[str] = ("payment_read_topic", "payment_email")
    _opened: list[FileEvents] = field(factory=list, init=False)

    def open(self) -> FileEvents:
        self._opened.append(FileEvents(self.folder))
        return self._opened[-1]

    def read(self, topic: str, count: int) -> Sequence[Event]:
        path = self.folder / f"{topic}.jsonl"
        return read_events(path) if path.exists() else []

    def close(self) -> None:
        for events in self._opened:
            events.close()


class TestFileEvents(EventsContract):
    @pytest.fixture
    def harness(self, tmp_path: Path) -> Iterator[FileTopics]:
        with closing(FileTopics(tmp_path)) as harness:
            yield harness
