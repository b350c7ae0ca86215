"""Appends lines to files: all of them or none, and beside other processes that append."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from voltpay_adapters.local.reading import whole_lines
from voltpay_core.errors import Misconfigured, Unavailable

LOCK_SECONDS = 10.0
"""Seconds to wait for another process that appends."""

_MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE}

Prepare = Callable[[int], bytes]
"""Prepares a locked file for what is appended, and says what goes before that."""


def cut_off(descriptor: int) -> bytes:
    """Remove what a crash has left of a line."""
    os.ftruncate(descriptor, whole_lines(descriptor, os.fstat(descriptor).st_size))
    return b""


def complete(descriptor: int) -> bytes:
    """Keep a last line that has no newline, and give it one."""
    end = os.fstat(descriptor).st_size
    return b"\n" * (whole_lines(descriptor, end) < end)


def append(texts: Mapping[Path, bytes | bytearray], prepare: Prepare) -> None:
    """Append each text to its file, on the disk on return; where one fails, none is appended.

    Raises:
        OSError: A file cannot be written.
        Unavailable: Another process does not let go of a file.
    """
    with ExitStack() as opened, ExitStack() as written:
        files = {path: opened.enter_context(locked(path)) for path in sorted(texts)}
        for path, descriptor in files.items():
            text = prepare(descriptor) + texts[path]
            written.callback(_shorten, descriptor, os.fstat(descriptor).st_size)
            _write(descriptor, text)
        for descriptor in files.values():
            os.fsync(descriptor)
        written.pop_all()


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """A regular file, made where there is none, to which nobody else appends meanwhile.

    Raises:
        OSError: It cannot be opened, or is a pipe or a device.
        Unavailable: Another process does not let go of it.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file")
        _lock(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def cannot(act: str, error: OSError) -> Misconfigured | Unavailable:
    """The failure that an error at opening a file stands for: of its path, or of the machine."""
    words = f"cannot {act}: {error.strerror}"
    return Unavailable(words, halt=True) if error.errno in _MACHINE_ERRORS else Misconfigured(words)


def _lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with suppress(BlockingIOError, PermissionError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # flock() is the reader's
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"another process does not let go of {path}")
        time.sleep(0.01)


def _write(descriptor: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


def _shorten(descriptor: int, end: int) -> None:
    with suppress(OSError):
        os.ftruncate(descriptor, end)
