"""Standard streams that can write any text, and whose failures are reported in words."""

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
"""How a character is written that the stream's encoding does not have."""


def settle() -> None:
    """Replace the standard streams by those of this module."""
    _hold_descriptors()
    sys.stdout = _text(_Output(1), sys.stdout)
    sys.stderr = _text(_Messages(2), sys.stderr)


class _Stream(io.FileIO):
    """A standard stream that waits even if another process has made it non-blocking."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data, and return the number of bytes."""
        while (written := super().write(data)) is None:
            select.select([], [self], [])
        return written


class _Output(_Stream):
    """The standard output: the first failure is raised, and later output is dropped."""

    _failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data, and return the number of bytes.

        Raises:
            BrokenPipeError: The reader has closed the pipe.
            Unavailable: The output cannot be written.
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
    """The standard error: each line is written at once; what cannot be written is dropped."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data, or drop it if that fails."""
        try:
            return super().write(data)
        except OSError:
            return memoryview(data).nbytes


def _text(raw: io.FileIO, before: TextIO | None) -> io.TextIOWrapper:
    encoding = before.encoding if before else locale.getencoding()
    if codecs.lookup(encoding).name == "ascii":
        encoding = _ASCII
    buffer = io.BufferedWriter(raw)
    at_once = isinstance(raw, _Messages) or raw.isatty()
    return io.TextIOWrapper(buffer, encoding, errors=ESCAPED, line_buffering=at_once)


def _hold_descriptors() -> None:
    """Reserve the descriptors of closed standard streams, so that no other file gets them."""
    for descriptor, useless in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, useless)  # gets the lowest free descriptor


_ASCII = "plain_ascii"
"""ASCII under a name that typer does not know: instead of a known ASCII it writes UTF-8."""


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
