"""The standard streams: they show any text, and fail in words where they fail."""

from __future__ import annotations

import codecs
import io
import locale
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from voltpay_core.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

ESCAPED = "backslashreplace"
"""What becomes of characters that a stream's encoding does not have."""


def settle() -> None:
    """Make the standard streams what this module says."""
    _hold_descriptors()
    sys.stdout = _text(_Output(1), sys.stdout)
    sys.stderr = _text(_Messages(2), sys.stderr)


class _Stream(io.FileIO):
    """A standard stream, which somebody may have made non-blocking: it waits all the same."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data and tell how much."""
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _Output(_Stream):
    """The standard output: its first failure is raised, and what follows is dropped."""

    _failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data and tell how much.

        Raises:
            BrokenPipeError: Whoever read it has seen enough.
            Unavailable: It takes no more.
        """
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):
                raise
            words = f"cannot write to the standard output: {error.strerror}"
            raise Unavailable(words, halt=True) from error


class _Messages(_Stream):
    """The standard error: the work goes on though nobody can be told."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data, or drop it."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before else locale.getencoding()
    if codecs.lookup(encoding).name == "ascii":
        encoding = _ASCII
    buffer = io.BufferedWriter(raw)
    return io.TextIOWrapper(buffer, encoding, errors=ESCAPED, line_buffering=raw.isatty())


def _hold_descriptors() -> None:
    """Let no file that is opened later become a standard stream that was closed."""
    for descriptor, useless in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, useless)  # takes the lowest number that is free


_ASCII = "plain_ascii"
"""ASCII by a name that typer does not know: where it knows it, it writes UTF-8 in its place."""


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _ASCII:
        return None
    ascii_ = codecs.lookup("ascii")
    return codecs.CodecInfo(
        *ascii_[:4],
        name=_ASCII,
        incrementalencoder=ascii_.incrementalencoder,
        incrementaldecoder=ascii_.incrementaldecoder,
    )


codecs.register(_find_codec)
