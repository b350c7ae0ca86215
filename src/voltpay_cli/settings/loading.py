"""Loads the settings: flags > environment > ``voltpay.toml`` > defaults, each with its origin."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from attrs import asdict, frozen
from typed_settings import EnvLoader, load_settings
from typed_settings.dict_utils import get_path, set_path
from typed_settings.loaders import DictLoader
from typed_settings.types import OptionInfo

from voltpay_adapters.text_files import read_text
from voltpay_cli.config_file import CONFIG_FILE, CONFIG_VARIABLE, config_path
from voltpay_cli.remedies import with_remedy
from voltpay_cli.settings.masking import plain
from voltpay_cli.settings.schema import OPTIONS, Settings
from voltpay_core.errors import Misconfigured

PREFIX = "VOLTPAY_"

variable = EnvLoader(PREFIX).get_envvar
"""The variable that gives an option."""


@frozen
class Loaded:
    """Settings in force.

    Attributes:
        origins: Where each setting comes from, by its dotted name.
        warnings: Probable mistakes that do not prevent the start.
    """

    settings: Settings
    origins: Mapping[str, str]
    warnings: tuple[str, ...]

    def shown(self) -> dict[str, dict[str, Any]]:
        """Value and origin of every setting by its dotted name, without secrets."""
        found = asdict(self.settings)
        return {
            option.path: {
                "value": plain(get_path(found, option.path), secret=option.is_secret),
                "origin": self.origins.get(option.path, "default"),
            }
            for option in OPTIONS
        }


def load(flags: Mapping[str, object], config: str | None = None) -> Loaded:
    """Load the settings; the entries of a table are merged from all origins.

    Args:
        flags: Values by dotted name; None if the flag is not given.
        config: The TOML file; None stands for VOLTPAY_CONFIG or ``voltpay.toml``.

    Raises:
        Misconfigured: A value is unacceptable, or a TOML key is unknown.
    """
    path = config_path(config)
    file = _toml(path)
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for option in OPTIONS:
        name = option.path
        flag = "-X" if name == "kafka.options" else f"--{option.name.replace('_', '-')}"
        given = {
            f"{name} in {path}": file.get(name),
            variable(option): os.environ.get(variable(option)) or None,
            flag: flags.get(name),
        }
        value: object = None
        for origin, text in given.items():
            if text is not None:
                converted = _converted(option, origin, text)
                if isinstance(value, Mapping) and isinstance(converted, Mapping):
                    converted = {**value, **converted}
                value = converted
                origins[name] = origin
        if name in origins:
            set_path(values, name, value)
    settings = load_settings(Settings, [DictLoader(values)])
    return Loaded(settings, origins, tuple(_unknown_variables()))


def _converted(option: OptionInfo, origin: str, value: object) -> object:
    try:
        return option.converter(value) if option.converter else value
    except Misconfigured as error:
        raise Misconfigured(f"{origin}: {with_remedy(error)}") from None
    except ValueError as error:
        raise Misconfigured(f"{origin}: {error}") from None


def _toml(path: Path) -> dict[str, Any]:
    """The values of a file, by dotted name."""
    if path == Path(CONFIG_FILE) and not path.exists():
        return {}
    known = [option.path for option in OPTIONS]
    try:
        found = dict(_flat(tomllib.loads(read_text(path)), known))
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise Misconfigured(f"cannot read {path}: {error}") from None
    for key in found:
        if key not in known:
            raise Misconfigured(f"{path}: there is no setting {key}{_nearest(key, known)}")
    return found


def _flat(
    table: Mapping[str, Any], known: Iterable[str], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    for name, value in table.items():
        key = prefix + name
        if isinstance(value, dict) and key not in known:
            yield from _flat(value, known, f"{key}.")
        else:
            yield key, value


def _unknown_variables() -> Iterator[str]:
    known = [*map(variable, OPTIONS), CONFIG_VARIABLE]
    for name in sorted(os.environ):
        if name.startswith(PREFIX) and name not in known:
            yield f"{name} is no setting{_nearest(name, known)}"


def _nearest(name: str, known: Iterable[str]) -> str:
    found = get_close_matches(name, known, n=1)
    return f": did you mean {found[0]}?" if found else "; `voltpay config show` lists all"
