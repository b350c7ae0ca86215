"""Checks whether files can be read and folders can be written."""

from __future__ import annotations

import os
from pathlib import Path

from voltpay_adapters.local.reading import STDIN, opened
from voltpay_core.errors import Misconfigured


def check_readable(path: str) -> str:
    """Check that a file, or ``-`` for the standard input, can be read.

    Raises:
        Misconfigured: It cannot.
    """
    if path != STDIN:
        opened(path).close()
    return f"{path} can be read"


def check_writable(directory: Path) -> str:
    """Check that a folder can be written, or can be created.

    Raises:
        Misconfigured: It cannot.
    """
    existing = directory
    try:
        while not existing.exists():
            existing = existing.parent
    except OSError as error:
        raise Misconfigured(f"cannot write to {directory}: {error.strerror}") from None
    if not (existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)):
        raise Misconfigured(f"cannot write to {directory}; name another folder")
    return f"{directory} can be written"
