"""The settings as people may see them: with their origin, and without secrets."""

from __future__ import annotations

from enum import Enum
from typing import Any

from attrs import asdict
from typed_settings.dict_utils import get_path

from voltpay_cli.settings.converters import MASK, masked
from voltpay_cli.settings.loading import Loaded
from voltpay_cli.settings.schema import OPTIONS


def shown(loaded: Loaded) -> dict[str, dict[str, Any]]:
    """Value and origin of every setting, by its dotted name."""
    found = asdict(loaded.settings)
    return {
        option.path: {
            "value": _plain(get_path(found, option.path), secret=option.is_secret),
            "origin": loaded.origins.get(option.path, "default"),
        }
        for option in OPTIONS
    }


def _plain(value: object, *, secret: bool) -> object:
    if secret:
        return MASK if value else None
    if isinstance(value, frozenset):
        return sorted(item.name if isinstance(item, Enum) else str(item) for item in value)
    return masked(value)
