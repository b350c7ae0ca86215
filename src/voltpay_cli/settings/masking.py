"""Masks the secrets of settings before they are shown."""

from __future__ import annotations

import re
from collections.abc import Mapping

MASK = "***"

_SECRET_IN_URL = re.compile(r"(?<=://)([^:@]*):.*@", re.DOTALL)
_SECRET_WORDS = ("password", "secret", "token")


def without_password(value: str) -> str:
    """A URL with its password masked."""
    return _SECRET_IN_URL.sub(rf"\1:{MASK}@", value)


def names_secret(name: str) -> bool:
    """Whether the value of this name is a secret, as in the options of a client."""
    return any(word in name.lower() for word in _SECRET_WORDS)


def masked(value: object) -> object:
    """A value without the passwords that its URLs and its named texts hold."""
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {name: MASK if names_secret(name) else masked(item) for name, item in value.items()}
    return value


def plain(value: object, *, secret: bool = False) -> object:
    """A setting as JSON can have it, without secrets."""
    if secret:
        return MASK if value else None
    if isinstance(value, frozenset):
        return sorted(status.name for status in value)
    return masked(value)
