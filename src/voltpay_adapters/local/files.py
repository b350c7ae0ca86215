"""JSON lines in place of topics: a file of payments in, one file a topic out."""

from __future__ import annotations

import fcntl
import os
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import IO

from attrs import define, field

from voltpay_adapters.local.lines import envelope, payment_line, read_envelope, read_line
from voltpay_adapters.local.memory import Acknowledged
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.messages import Event, Partition, Record
from voltpay_core.ports import Begin, Polled, Publication

STDIN = "-"
CHUNK_BYTES = 1024 * 1024
BEGINNING_BYTES = 64 * 1024


@define
class FileSource:
    """A `MessageSource` of one partition: the lines of a file, their byte offsets the offsets.

    The next offset stands in the store's fence under the file's path and a digest of what was read
    of its beginning, and the length of that under the path: a file that has grown is read on, other
    content under the same path starts anew, and the claims know what of it is not new. What the
    outbox holds goes by the path alone. ``-`` reads the standard input and keeps no position.

    Attributes:
        notify: Told in a sentence where reading begins.
        patience: Seconds that a poll waits for a line.
    """

    _path: str
    _begin: Begin
    _notify: Callable[[str], None] = lambda _: None
    _patience: float = 0.5
    _file: IO[bytes] = field(init=False)
    _partition: Partition = field(init=False)
    _timestamp: int | None = field(default=None, init=False)
    _announced: bool = field(default=False, init=False)
    _started: bool = field(default=False, init=False)
    _ended: bool = field(default=False, init=False)
    _offset: int = field(default=0, init=False)
    _tail: bytes = field(default=b"", init=False)
    _ahead: deque[Record] = field(factory=deque, init=False)
    _unacknowledged: deque[Record] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        """Open the file; ours alone while it is open.

        Raises:
            Misconfigured: It cannot be read, or not from the middle, or another process reads it.
        """
        if self._path == STDIN:
            self._file = os.fdopen(os.dup(0), "rb", buffering=0)
            self._partition = Partition("stdin", 0)
            self._timestamp = time.time_ns() // 1_000_000  # another run is another log
            return
        try:
            self._file = Path(self._path).open("rb", buffering=0)  # noqa: SIM115 - closed by close()
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise Misconfigured(f"{self._path} is being read by another process") from None
        except OSError as error:
            raise Misconfigured(f"cannot read {self._path}: {error.strerror}") from None
        if not self._file.seekable():
            self._file.close()
            raise Misconfigured(f"{self._path} is a pipe: let it be the standard input, file:-")
        self._partition = Partition(str(Path(self._path).resolve()), 0)

    def poll(self, limit: int) -> Polled:
        """The next lines; the first poll only reports the file as gained."""
        if not self._announced:
            self._announced = True
            return Polled(gained=frozenset({self._partition}))
        if not (self._started and limit):
            return Polled()
        if not self._ahead and not self._ended:
            self._read_ahead()
        records = [self._ahead.popleft() for _ in range(min(limit, len(self._ahead)))]
        if not records:
            return Polled()
        self._unacknowledged.extend(records)
        return Polled(records, {self._partition: records[-1].offset + 1})

    def rewind(self, partitions: Collection[Partition]) -> None:
        """Go on from the position in the store, then from what is unacknowledged."""
        if self._started or self._partition not in partitions:
            self._ahead.extendleft(reversed(self._unacknowledged))
            self._unacknowledged.clear()
            return
        if self._path != STDIN:
            self._offset = self._file.seek(self._kept())
            where = (
                f"goes on at byte {self._offset}" if self._offset else "reads from its beginning"
            )
            self._notify(f"{self._path}: {where}")
        self._started = True

    def acknowledge(self, positions: Mapping[Partition, int]) -> None:
        """Keep the position in the store."""
        position = positions[self._partition]
        self._keep(position)
        while self._unacknowledged and self._unacknowledged[0].offset < position:
            self._unacknowledged.popleft()

    def drained(self) -> bool:
        """True when the file's last line is acknowledged."""
        return self._ended and not self._ahead and not self._unacknowledged

    def lag(self) -> int:
        """Lines read ahead; how many the rest of the file has is not known."""
        return len(self._ahead)

    def start_over(self) -> None:
        """Forget the position, so that the next run begins with the first byte.

        Raises:
            Unavailable: The store cannot be reached.
        """
        self._keep(0)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _kept(self) -> int:
        with self._begin() as work:
            length = work.fence.position(self._bookmark(b""))
            beginning = self._beginning(BEGINNING_BYTES if length is None else length)
            return work.fence.position(self._bookmark(beginning)) or 0

    def _keep(self, position: int) -> None:
        if self._path != STDIN:
            beginning = self._beginning(min(position, BEGINNING_BYTES))
            with self._begin() as work:
                work.fence.move(self._bookmark(b""), len(beginning))
                work.fence.move(self._bookmark(beginning), position)

    def _beginning(self, most: int) -> bytes:
        return os.pread(self._file.fileno(), most, 0)

    def _bookmark(self, beginning: bytes) -> Partition:
        digest = sha256(beginning).hexdigest()[:16] if beginning else ""
        return Partition(f"{self._partition.topic}#{digest}", 0)

    def _read_ahead(self) -> None:
        if not select.select([self._file], [], [], self._patience)[0]:
            return
        chunk = os.read(self._file.fileno(), CHUNK_BYTES)
        self._ended = not chunk
        *lines, self._tail = (self._tail + (chunk or b"\n" * bool(self._tail))).split(b"\n")
        for line in lines:
            self._offset += len(line) + 1
            if line.strip():
                self._ahead.append(self._record(line))

    def _record(self, line: bytes) -> Record:
        """The record of the line just read; its offset is that of the line's last byte."""
        read = read_line(line)
        timestamp = self._timestamp if read.timestamp is None else read.timestamp
        return Record(
            self._partition, self._offset - 1, timestamp, read.key, read.value, read.headers
        )


@define
class FileEvents:
    """An `EventPublisher` that appends envelopes to one file a topic.

    Attributes:
        directory: Made where there is none; a line that a crash has torn is cut off first.
    """

    _directory: Path
    _files: dict[str, IO[bytes]] = field(factory=dict, init=False)

    def publish(self, events: Sequence[Event]) -> Publication:
        """Append the events and flush them to the disk."""
        try:
            for event in events:
                self._file(event.topic).write(envelope(event) + b"\n")
            for file in self._files.values():
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise Unavailable(f"cannot write to {self._directory}: {error.strerror}") from error
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _file(self, topic: str) -> IO[bytes]:
        if topic not in self._files:
            self._directory.mkdir(parents=True, exist_ok=True)
            path = self._directory / f"{topic}.jsonl"
            path.touch()
            with path.open("r+b") as file:
                whole = _whole_lines(file)
                if whole < file.seek(0, os.SEEK_END):  # not where others may be appending
                    file.truncate(whole)
            self._files[topic] = path.open("ab")
        return self._files[topic]


@define
class FilePayments:
    """An `EventPublisher` that appends to one file of payments; ``-`` is the standard output.

    A payment under its own account's key is a plain line; whatever else is an envelope.
    """

    _path: str
    _file: IO[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the file, made where there is none.

        Raises:
            Misconfigured: It cannot be written.
        """
        try:
            self._file = (
                sys.stdout.buffer if self._path == STDIN else Path(self._path).open("ab")  # noqa: SIM115 - closed by close()
            )
        except OSError as error:
            raise Misconfigured(f"cannot write {self._path}: {error.strerror}") from None

    def publish(self, events: Sequence[Event]) -> Publication:
        """Append the records."""
        try:
            self._file.writelines(payment_line(event) + b"\n" for event in events)
            self._file.flush()
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough
        except OSError as error:
            raise Unavailable(f"cannot write {self._path}: {error.strerror}") from error
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Close the file."""
        if self._path != STDIN:
            self._file.close()


def read_events(path: Path) -> list[Event]:
    """The events of a file that `FileEvents` wrote; its topic is the file's name.

    Raises:
        Misconfigured: The file is not of that form.
    """
    try:
        lines = [read_envelope(line) for line in path.read_bytes().splitlines()]
    except ValueError as error:
        raise Misconfigured(f"{path} holds a line that is no event: {error}") from None
    return [
        Event(path.stem, line.key, line.value, line.headers, timestamp=line.timestamp)
        for line in lines
    ]


def _whole_lines(file: IO[bytes]) -> int:
    end = file.seek(0, os.SEEK_END)
    while end:
        start = max(0, end - CHUNK_BYTES)
        file.seek(start)
        newline = file.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0
