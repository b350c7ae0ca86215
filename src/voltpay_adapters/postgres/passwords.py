"""Passwords of any Unicode, prepared as PostgreSQL and libpq prepare them."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import stringprep
import unicodedata
from base64 import b64encode

from voltpay_core.errors import Misconfigured

_ITERATIONS = 4096  # PostgreSQL's own number
_PROHIBITED = (
    stringprep.in_table_a1,
    stringprep.in_table_c21_c22,
    stringprep.in_table_c3,
    stringprep.in_table_c4,
    stringprep.in_table_c5,
    stringprep.in_table_c6,
    stringprep.in_table_c7,
    stringprep.in_table_c8,
    stringprep.in_table_c9,
)


def encoded(password: str) -> bytes:
    """The bytes of a password, as they were in the environment, the file or the URL.

    Raises:
        Misconfigured: It has a character that no password can have; the message does not show it.
    """
    try:
        raw = password.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise Misconfigured("a database password has a lone surrogate: set another") from None
    if b"\0" in raw:
        raise Misconfigured("a database password has a NUL character: set another")
    return raw


def prepared(raw: bytes) -> bytes:
    """The bytes that SCRAM hashes: SASLprep of the password, or itself if SASLprep prohibits it."""
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        return raw
    if text.isascii():
        return raw
    mapped = "".join(map(_mapped, text))
    if not mapped or any(map(_is_prohibited, mapped)) or _mixes_directions(mapped):
        return raw
    return unicodedata.normalize("NFKC", mapped).encode()


def scram_verifier(password: str, salt: bytes | None = None) -> str:
    """The verifier that PostgreSQL stores, so that the password itself is never sent.

    Raises:
        Misconfigured: It has a character that no password can have.
    """
    salt = salt or secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", prepared(encoded(password)), salt, _ITERATIONS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    in_text = [b64encode(part).decode() for part in (salt, stored, server)]
    return f"SCRAM-SHA-256${_ITERATIONS}:{in_text[0]}${in_text[1]}:{in_text[2]}"


def _mapped(char: str) -> str:
    if stringprep.in_table_c12(char):
        return " "
    return "" if stringprep.in_table_b1(char) else char


def _is_prohibited(char: str) -> bool:
    return any(holds(char) for holds in _PROHIBITED)


def _mixes_directions(text: str) -> bool:
    """Whether text has right-to-left characters and breaks RFC 3454's rule for them."""
    runs_left = stringprep.in_table_d1
    return any(map(runs_left, text)) and not (
        runs_left(text[0]) and runs_left(text[-1]) and not any(map(stringprep.in_table_d2, text))
    )
