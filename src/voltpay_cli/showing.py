"""The settings as people may see them: with their origin, and without secrets."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from attrs import asdict
from typed_settings.dict_utils import get_path

from voltpay_cli.loading import Loaded
from voltpay_cli.settings import OPTIONS
from voltpay_cli.values import without_password

MASK = "***"


def shown(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Value and origin of every setting, by its dotted name."""
    found = asdict(loaded.settings)
    return {
        option.path: {
            "value": _masked(get_path(found, option.path), secret=option.is_secret),
            "origin": loaded.origins.get(option.path, "default"),
        }
        for option in OPTIONS
    }


def _masked(value: object, *, secret: bool) -> object:
    if secret:
        return MASK if value else None
    if isinstance(value, str):
        return without_password(value)
    if isinstance(value, Mapping):
        return {
            name: _masked(item, secret=any(word in name.lower() for word in _SECRET_WORDS))
            for name, item in value.items()
        }
    if isinstance(value, frozenset):
        return sorted(item.name if isinstance(item, Enum) else str(item) for item in value)
    return value


_SECRET_WORDS = ("password", "secret", "token")
