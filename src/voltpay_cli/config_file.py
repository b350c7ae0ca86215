"""Finds the settings file, and the format of the log before all settings are checked."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

from voltpay_adapters.text_files import read_text
from voltpay_core.errors import Misconfigured

CONFIG_FILE = "voltpay.toml"
CONFIG_VARIABLE = "VOLTPAY_CONFIG"


def config_path(flag: str | None) -> Path:
    """The settings file that the flag, the environment or the default names."""
    return Path(flag or os.environ.get(CONFIG_VARIABLE) or CONFIG_FILE)


def asked_format(arguments: Sequence[str]) -> str:
    """The format that is asked for, before the command line and the settings are checked."""
    asked = _flag("--log-format", arguments) or os.environ.get("VOLTPAY_LOG_FORMAT")
    if not asked:
        file = config_path(_flag("--config", arguments))
        with suppress(Misconfigured, ValueError, RecursionError):
            if file.is_file():  # and no pipe, which can be read only once
                asked = tomllib.loads(read_text(file)).get("log_format")
    return "json" if str(asked).casefold() == "json" else "text"


def _flag(name: str, arguments: Sequence[str]) -> str | None:
    """The last value of a flag among arguments."""
    found = None
    for argument, after in pairwise([*arguments, ""]):
        if argument == name:
            found = after
        elif argument.startswith(f"{name}="):
            found = argument.partition("=")[2]
    return found
