"""Text files as people save them."""

from __future__ import annotations

from pathlib import Path

from voltpay_core.errors import Misconfigured


def read_text(path: Path) -> str:
    """The text of a file in UTF-8, without the byte order mark that it may begin with.

    Raises:
        Misconfigured: It cannot be read, or is in another encoding.
    """
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        text = "\0"
    if "\0" in text:
        raise Misconfigured(f"cannot read {path}: save it as text in UTF-8")
    return text
