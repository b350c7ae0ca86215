"""JSON lines instead of an input topic: a file of payments, or the standard input."""

from __future__ import annotations

import fcntl
import os
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from io import FileIO
from pathlib import Path

from attrs import define, field

from voltpay_adapters.local.lines import read_line
from voltpay_adapters.local.reading import (
    BEGINNING_BYTES,
    LONGEST_LINE,
    STDIN,
    LineReader,
    count_lines,
    name_of,
    opened,
    whole_lines,
)
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.ports import BeginUnitOfWork, PollResult
from voltpay_core.records import Partition, Record

_POLL_TIMEOUT = 0.5


@define
class FileSource:
    """A `MessageSource` of one partition: the lines of a file; the offsets are byte offsets.

    The store keeps the read position under the file's path and a digest of its beginning, and the
    length of that beginning under the path. A file that has grown is continued; different content
    under the same path is read from the start, and the claims decide what of it is new. The outbox
    is keyed by the path alone. ``-`` reads the standard input and keeps no position.

    Attributes:
        notify: Called with a sentence that says where reading begins.
        poll_timeout: Seconds that a poll waits for a line.
        longest: Bytes of a line, at most; a longer one raises `Unavailable` with ``halt``.
    """

    _path: str
    _begin: BeginUnitOfWork
    _notify: Callable[[str], None] = lambda _: None
    _poll_timeout: float = _POLL_TIMEOUT
    _longest: int = LONGEST_LINE
    _file: FileIO = field(init=False)
    _reader: LineReader = field(init=False)
    _partition: Partition = field(init=False)
    _timestamp: int | None = field(default=None, init=False)
    _announced: bool = field(default=False, init=False)
    _started: bool = field(default=False, init=False)
    _lines: int = field(default=0, init=False)
    _ahead: deque[Record] = field(factory=deque, init=False)
    _unacknowledged: deque[Record] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        """Open the file and lock it against other readers.

        Raises:
            Misconfigured: It cannot be read, is a pipe or a device, or another process reads it.
        """
        self._file = opened(self._path)
        self._reader = LineReader(self._file, name_of(self._path), self._longest)
        if self._path == STDIN:
            self._partition = Partition("stdin", 0)
            self._timestamp = time.time_ns() // 1_000_000  # each run is a log of its own
            return
        self._partition = Partition(_in_unicode(Path(self._path).resolve()), 0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Misconfigured(f"{self._path} is being read by another process") from None
        except OSError as error:  # NFS cannot lock a file that is opened only for reading
            self._notify(f"{self._path}: others can read it, too: {error.strerror}")

    def poll(self, limit: int) -> PollResult:
        """The next lines; the first poll only reports the partition as assigned."""
        if not self._announced:
            self._announced = True
            return PollResult(assigned=frozenset({self._partition}))
        if not (self._started and limit):
            return PollResult()
        if not self._ahead and not self._reader.ended:
            self._read_ahead()
        records = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        if not records:
            return PollResult()
        self._unacknowledged.extend(records)
        return PollResult(records, {self._partition: records[-1].offset + 1})

    def on_revoke(self, settle: Callable[[], None]) -> None:
        """Nothing is ever revoked."""

    def seek_to_committed(self, partitions: Collection[Partition]) -> None:
        """Continue at the stored position, later at the first unacknowledged line."""
        if self._started or self._partition not in partitions:
            self._ahead.extendleft(reversed(self._unacknowledged))
            self._unacknowledged.clear()
            return
        if self._path != STDIN:
            offset = self._resume()
            where = f"at byte {offset}" if offset else "from its beginning"
            self._notify(f"{self._path}: reading {where}")
        self._started = True

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Store the position."""
        position = positions[self._partition]
        self._keep(position)
        while self._unacknowledged and self._unacknowledged[0].offset < position:
            self._unacknowledged.popleft()

    def drained(self) -> bool:
        """True when the file's last line is acknowledged."""
        return self._reader.ended and not self._ahead and not self._unacknowledged

    def lag(self) -> dict[Partition, int]:
        """The lines that are not yet polled; of the standard input, those that are read ahead."""
        if not self._started:
            return {}
        return {self._partition: len(self._ahead) + max(0, self._lines - self._reader.lines)}

    def start_over(self) -> None:
        """Reset the position, so that the next run begins with the first byte.

        Raises:
            Unavailable: The store cannot be reached.
        """
        self._keep(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _resume(self) -> int:
        """Seek to the stored position, and return it."""
        with self._begin() as work:
            length = work.positions.load(self._bookmark(b""))
            beginning = self._read_at(0, BEGINNING_BYTES if length is None else length)
            offset = work.positions.load(self._bookmark(beginning)) or 0
        size = os.fstat(self._file.fileno()).st_size
        if offset > size + 1:  # the last line may have had no newline
            raise Unavailable(
                f"{self._path} ends at byte {size}, but {offset} is acknowledged: it was cut."
                " Copy it to another path to read it from its beginning",
                halt=True,
            )
        if offset and self._read_at(offset - 1, 1) not in {b"", b"\n"}:
            offset = whole_lines(self._file.fileno(), offset)  # that line has grown
        beginning = self._read_at(0, min(offset, BEGINNING_BYTES))
        self._reader = LineReader(self._file, self._path, self._longest, offset, beginning)
        self._lines = count_lines(self._file.fileno(), offset)
        return self._file.seek(offset)

    def _keep(self, position: int) -> None:
        if self._path != STDIN:
            beginning = self._reader.beginning[:position]
            with self._begin() as work:
                work.positions.save(self._bookmark(b""), len(beginning))
                work.positions.save(self._bookmark(beginning), position)

    def _read_at(self, offset: int, most: int) -> bytes:
        return os.pread(self._file.fileno(), most, offset)

    def _bookmark(self, beginning: bytes) -> Partition:
        digest = sha256(beginning).hexdigest()[:16] if beginning else ""
        return Partition(f"{self._partition.topic}#{digest}", 0)

    def _read_ahead(self) -> None:
        lines = self._reader.read(self._poll_timeout)
        if self._reader.ended and self._path != STDIN:
            self._check_unchanged()
        self._ahead += _records(self._partition, lines, self._timestamp)

    def _check_unchanged(self) -> None:
        beginning, size = self._reader.beginning, os.fstat(self._file.fileno()).st_size
        if size + 1 < self._reader.offset or beginning != self._read_at(0, len(beginning)):
            raise Unavailable(
                f"{self._path} was changed while it was read: start again when it is complete",
                halt=True,
            )


def browse(
    path: str, stop: Callable[[], bool] = lambda: False, *, longest: int = LONGEST_LINE
) -> Iterator[Record]:
    """The lines of a file as records, from its beginning, without a lock or a stored position.

    Args:
        path: ``-`` for the standard input.
        stop: Called while no line comes; true ends them.
        longest: Bytes of a line, at most.

    Raises:
        Misconfigured: It cannot be read as records.
        Unavailable: (halt) A line is too long, or the file cannot be read.
    """
    partition = Partition("stdin" if path == STDIN else _in_unicode(Path(path).resolve()), 0)
    with closing(opened(path)) as file:
        reader = LineReader(file, name_of(path), longest)
        while not (reader.ended or stop()):
            yield from _records(partition, reader.read(_POLL_TIMEOUT), None)


def _records(
    partition: Partition, lines: Iterable[tuple[int, bytes]], timestamp: int | None
) -> Iterator[Record]:
    """The records of lines that are not empty; the offset is that of the line's last byte.

    Args:
        lines: Each with the offset after its newline.
        timestamp: For lines without one.
    """
    for end, line in lines:
        if line.strip():
            read = read_line(line.removesuffix(b"\r"))
            at = timestamp if read.timestamp is None else read.timestamp
            yield Record(partition, end - 1, at, read.key, read.value, read.headers)


def _in_unicode(path: Path) -> str:
    """A path as text that every store accepts, whatever bytes its name has."""
    return os.fsencode(path).decode(errors="backslashreplace")
