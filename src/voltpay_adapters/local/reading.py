"""Reads the lines of a file or of the standard input, in linear time and bounded memory."""

from __future__ import annotations

import io
import os
import re
import select
import stat
from codecs import BOM_UTF8

from attrs import define, field

from voltpay_core.errors import Misconfigured, Unavailable

STDIN = "-"
CHUNK_BYTES = 1024 * 1024
BEGINNING_BYTES = 64 * 1024
LONGEST_LINE = 16 * 1024 * 1024

_UTF_16_OR_32 = re.compile(rb"\xff\xfe|\xfe\xff|\0\0\xfe\xff|\{\0|\0{1,3}\{")


def opened(path: str) -> io.FileIO:
    """Open a regular file, or the standard input for ``-``, without waiting.

    Raises:
        Misconfigured: It cannot be read.
    """
    try:
        if path == STDIN:
            os.read(0, 0)  # fails if it is a directory, closed, or write-only
            return os.fdopen(os.dup(0), "rb", buffering=0)
        mode = os.stat(path).st_mode  # noqa: PTH116 - a Path would drop a trailing slash
        if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
            raise Misconfigured(f"{path} is not a regular file", code="no-regular-file")
        return os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0)
    except OSError as error:
        name = name_of(path)
        raise Misconfigured(f"cannot read {name}: {error.strerror}") from None


def whole_lines(descriptor: int, end: int) -> int:
    """The offset after the last newline before `end`; 0 if there is none."""
    while end:
        start = max(0, end - CHUNK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def count_lines(descriptor: int, start: int) -> int:
    """The number of lines from an offset to the end, at some gigabytes a second."""
    count, last = 0, b"\n"
    while chunk := os.pread(descriptor, CHUNK_BYTES, start):
        count += chunk.count(b"\n")
        start, last = start + len(chunk), chunk[-1:]
    return count + (last != b"\n")


def name_of(path: str) -> str:
    """The name for messages."""
    return "the standard input" if path == STDIN else path


@define
class LineReader:
    """The lines of an open file, as its bytes arrive.

    Attributes:
        name: The file's name for messages.
        longest: Bytes of a line, at most.
        offset: The offset of the next line.
        beginning: The first 64 KiB, as far as they are read.
        lines: The number of lines read so far.
        ended: Whether the last line was read.
    """

    _file: io.FileIO
    _name: str
    _longest: int = LONGEST_LINE
    offset: int = 0
    beginning: bytes = b""
    lines: int = field(default=0, init=False)
    ended: bool = field(default=False, init=False)
    _begun: bytearray = field(factory=bytearray, init=False)

    def read(self, poll_timeout: float) -> list[tuple[int, bytes]]:
        """The lines that end in the next chunk, each with the offset after its newline.

        Args:
            poll_timeout: Seconds to wait for the first byte.

        Raises:
            Misconfigured: The text is in UTF-16 or UTF-32.
            Unavailable: The next line is too long, or the file cannot be read.
        """
        if len(self._begun) > self._longest:
            raise Unavailable(
                f"{self._name}: the line at byte {self.offset} has more than {self._longest} bytes",
                halt=True,
                code="line-too-long",
            )
        chunk = self._next_chunk(poll_timeout)
        return [] if chunk is None else self._lines(chunk)

    def _next_chunk(self, poll_timeout: float) -> bytes | None:
        """The next bytes; empty at the end, None if there are none yet."""
        poll = select.poll()  # select() fails for descriptors above 1023
        poll.register(self._file, select.POLLIN)
        if not poll.poll(poll_timeout * 1000):
            return None
        try:
            return self._file.read(CHUNK_BYTES)
        except OSError as error:
            raise Unavailable(f"cannot read {self._name}: {error.strerror}", halt=True) from error

    def _lines(self, chunk: bytes) -> list[tuple[int, bytes]]:
        self.ended = not chunk
        behind = self.offset + len(self._begun)
        if behind < BEGINNING_BYTES:
            self.beginning += chunk[: BEGINNING_BYTES - behind]
        first, newline, rest = chunk.partition(b"\n")
        self._begun += first
        if not (newline or (self.ended and self._begun)):
            return []
        *lines, last = [bytes(self._begun), *rest.split(b"\n")]
        self._begun = bytearray(last)
        return self._with_offsets(lines)

    def _with_offsets(self, lines: list[bytes]) -> list[tuple[int, bytes]]:
        found = []
        for number, line in enumerate(lines):
            if len(line) > self._longest:
                self._begun = bytearray(b"\n".join([*lines[number:], self._begun]))
                break
            text = line if self.offset else self._without_mark(line)
            self.offset += len(line) + 1
            found.append((self.offset, text))
        self.lines += len(found)
        return found

    def _without_mark(self, line: bytes) -> bytes:
        if _UTF_16_OR_32.match(line):
            raise Misconfigured(f"{self._name} is not in UTF-8 but in UTF-16 or UTF-32: convert it")
        return line.removeprefix(BOM_UTF8)
