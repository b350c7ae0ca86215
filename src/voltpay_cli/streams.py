"""The standard streams: they show any text, and fail in words where they fail."""

from __future__ import annotations

import codecs
import io
import locale
import os
import select
import sys
from contextlib import suppress
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


class _Output(io.FileIO):
    """The standard output: its first failure is raised, and what follows is dropped."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._failed = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write some of the data and tell how much.

        Raises:
            BrokenPipeError: Whoever read it has seen enough.
            Unavailable: It takes no more.
        """
        if self._failed:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # somebody has made it non-blocking
                select.select([], [self], [])
        except OSError as error:
            self._failed = True
            if isinstance(error, BrokenPipeError):
                raise
            raise Unavailable(
                f"cannot write to the standard output: {error.strerror}", halt=True
            ) from error
        return written


class _Messages(io.FileIO):
    """The standard error: the work goes on though nobody can be told."""

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)

    def write(self, data: ReadableBuffer, /) -> int:
        """Write the data, or drop it."""
        with suppress(OSError):
            return super().write(data) or 0
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
