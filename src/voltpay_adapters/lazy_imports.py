"""Lets a package export names that are imported when they are first used."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any


def exports(package: str, **modules: str) -> Callable[[str], Any]:
    """The ``__getattr__`` of a package.

    Args:
        modules: The module of the package that defines each exported name.
    """

    def find(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return find
