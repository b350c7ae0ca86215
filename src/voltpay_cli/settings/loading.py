"""Loads the settings: flags > environment > ``voltpay.toml`` > defaults, each with its origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import frozen
from typed_settings import EnvLoader, load_settings
from typed_settings.dict_utils import get_path, set_path
from typed_settings.types import LoadedSettings, LoaderMeta, OptionInfo, OptionList

from voltpay_cli.settings.schema import OPTIONS, Settings
from voltpay_core.errors import Misconfigured

CONFIG_FILE = "voltpay.toml"
CONFIG_VARIABLE = "VOLTPAY_CONFIG"
PREFIX = "VOLTPAY_"


@frozen
class Loaded:
    """Settings in force.

    Attributes:
        origins: Where each setting comes from, by its dotted name.
        warnings: What looks like a mistake and hinders nothing.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def load(flags: Mapping[str, object], config: str | None = None) -> Loaded:
    """The settings in force.

    Args:
        flags: Values by dotted name; None stands for a flag that was not given.
        config: The TOML file; VOLTPAY_CONFIG or ``voltpay.toml`` where there is none.

    Raises:
        Misconfigured: A value is unacceptable, or a TOML key is none of ours.
    """
    path = Path(config or os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE)
    origins: dict[str, str] = {}
    tables: dict[str, Mapping[str, str]] = {}
    layers = [
        _Layer(lambda: _toml(path), lambda option: f"{option.path} in {path}", origins, tables),
        _Layer(_environment, _variable, origins, tables),
        _Layer(lambda: _given(flags), _flag, origins, tables),
    ]
    settings = load_settings(Settings, [layer.load for layer in layers])
    return Loaded(settings, origins, tuple(_unknown_variables()))


@frozen
class _Layer:
    """One place that settings come from; it converts them, to tell whose value is wrong.

    Attributes:
        tables: Tables of names and texts so far, shared by all layers: they add up.
    """

    read: Callable[[], dict[str, Any]]
    name: Callable[[OptionInfo], str]
    origins: dict[str, str]
    tables: dict[str, Mapping[str, str]]

    def load(self, settings_cls: type, options: OptionList) -> LoadedSettings:  # noqa: ARG002 - the shape of a loader
        nested = self.read()
        for option in options:
            try:
                value = get_path(nested, option.path)
            except KeyError:
                continue
            converted = self._convert(option, value)
            if isinstance(converted, Mapping):
                converted = {**self.tables.get(option.path, {}), **converted}
                self.tables[option.path] = converted
            set_path(nested, option.path, converted)
            self.origins[option.path] = self.name(option)
        return LoadedSettings(nested, LoaderMeta("settings"))

    def _convert(self, option: OptionInfo, value: object) -> object:
        try:
            return option.converter(value) if option.converter else value
        except ValueError as error:
            raise Misconfigured(f"{self.name(option)}: {error}") from None


def _given(flags: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in flags.items():
        if value is not None:
            set_path(nested, path, value)
    return nested


def _flag(option: OptionInfo) -> str:
    return "-X" if option.path == "kafka.options" else f"--{option.name.replace('_', '-')}"


def _environment() -> dict[str, Any]:
    return _given({o.path: os.environ.get(_variable(o)) or None for o in OPTIONS})


_variable = EnvLoader(PREFIX).get_envvar


def _toml(path: Path) -> dict[str, Any]:
    if path == Path(CONFIG_FILE) and not path.exists():
        return {}
    try:
        found = tomllib.loads(read_text(path))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Misconfigured(f"cannot read {path}: {error}") from None
    known = [option.path for option in OPTIONS]
    for key in _keys(found, known):
        if key not in known:
            raise Misconfigured(f"{path}: there is no setting {key}{_nearest(key, known)}")
    return found


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


def secret(value: str | None, file: str | None, name: str) -> str | None:
    """A secret as it is set, or as a file holds it.

    Raises:
        Misconfigured: The file cannot be read, or is not in UTF-8.
    """
    if value or not file:
        return value
    try:
        return read_text(Path(file)).rstrip("\r\n")
    except Misconfigured as error:
        raise Misconfigured(f"{name}_file: {error}") from None


def _keys(found: Mapping[str, object], known: Iterable[str], prefix: str = "") -> Iterator[str]:
    for name, value in found.items():
        key = prefix + name
        if isinstance(value, dict) and key not in known:
            yield from _keys(value, known, f"{key}.")
        else:
            yield key


def _unknown_variables() -> Iterator[str]:
    known = [*map(_variable, OPTIONS), CONFIG_VARIABLE]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is no setting{_nearest(name, known)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f": did you mean {found[0]}?" if found else "; `voltpay config show` lists all"
