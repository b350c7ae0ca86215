"""Appends lines to files: all or none, also while other processes append."""

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
"""Seconds to wait for the lock of another process that appends."""

_MACHINE_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE}

Prepare = Callable[[int], bytes]
"""Prepares a locked file for an append, and returns the bytes to write first."""


def cut_off(descriptor: int) -> bytes:
    """Remove a partial line that a crash has left."""
    os.ftruncate(descriptor, whole_lines(descriptor, os.fstat(descriptor).st_size))
    return b""


def complete(descriptor: int) -> bytes:
    """Complete a last line that has no newline."""
    end = os.fstat(descriptor).st_size
    return b"\n" * (whole_lines(descriptor, end) < end)


def append(texts: Mapping[Path, bytes | bytearray], prepare: Prepare) -> None:
    """Append each text to its file and flush it to the disk; if one fails, append none.

    Raises:
        OSError: A file cannot be written.
        Unavailable: Another process keeps a file locked.
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
    """A regular file, created if missing and locked against other processes that append.

    Raises:
        OSError: It cannot be opened, or is a pipe or a device.
        Unavailable: Another process keeps it locked.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "it is not a regular file")
        _lock(descriptor, path)
        yield descriptor
    finally:
        os.close(descriptor)


def cannot(act: str, error: OSError) -> Misconfigured | Unavailable:
    """The failure for an error when a file is opened: its path is wrong, or the machine fails."""
    words = f"cannot {act}: {error.strerror}"
    return Unavailable(words, halt=True) if error.errno in _MACHINE_ERRORS else Misconfigured(words)


def _lock(descriptor: int, path: Path) -> None:
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        with suppress(BlockingIOError, PermissionError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)  # readers use flock()
            return
        if time.monotonic() > deadline:
            raise Unavailable(f"another process keeps {path} locked", code="file")
        time.sleep(0.01)


def _write(descriptor: int, text: bytes) -> None:
    left = memoryview(text)
    while left:
        left = left[os.write(descriptor, left) :]


def _shorten(descriptor: int, end: int) -> None:
    with suppress(OSError):
        os.ftruncate(descriptor, end)
