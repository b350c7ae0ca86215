"""Reads files of text: settings and secrets."""

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


def read_secret(value: str | None, file: str | None, name: str) -> str | None:
    """A secret as it is given, or as a file holds it; line ends at its end are not part of it.

    Args:
        name: What the secret is called, for the message.

    Raises:
        Misconfigured: The file cannot be read, or is not in UTF-8.
    """
    if value or not file:
        return value
    try:
        return read_text(Path(file)).rstrip("\r\n")
    except Misconfigured as error:
        raise Misconfigured(f"{name}_file: {error}") from None
