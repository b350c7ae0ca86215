"""The options that commands share: each gives a setting."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Annotated, Any

import typer

from voltpay_cli.auditing import Invocation
from voltpay_cli.config_file import CONFIG_FILE, CONFIG_VARIABLE
from voltpay_cli.console.lines import about, event
from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.console.results import Output
from voltpay_cli.settings import OPTIONS, Loaded, load
from voltpay_cli.settings.loading import variable
from voltpay_cli.settings.masking import without_password
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured

log = logging.getLogger("voltpay")

_PATHS = {
    "kafka_client": "kafka.client",
    "partitions": "topics.partitions",
    "replication": "topics.replication",
    "x": "kafka.options",
}
"""The settings that options give, where their names differ."""

_METAVARS = {
    **dict.fromkeys(("source", "store", "events"), "URL"),
    **dict.fromkeys(("batch_size", "partitions", "replication"), "N"),
    "node_id": "ID",
    **dict.fromkeys(("group", "kafka_client"), "NAME"),
    "commit_unit": "UNIT",
    "listen": "HOST:PORT",
    "log_level": "LEVEL",
    "log_format": "FORMAT",
}

_OF_ALL = ("log_level", "log_format")
"""The options of settings that all commands have."""


def number(words: str, least: int = 1, most: int | None = None) -> Any:
    """An option that takes a whole number."""
    return typer.Option(help=words, min=least, max=most, metavar="N")


def switch(name: str, words: str) -> Any:
    """An option that takes no value."""
    return typer.Option(name, help=words)


Format = Annotated[Output, typer.Option("--output", help="format of what is printed")]


def with_settings(
    *names: str, give: Callable[[Loaded], object] | None = None
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command these options and those of all, and pass it what the settings make.

    All commands have ``--log-level``, ``--log-format`` and ``--config``.

    Args:
        names: The options of settings; ``x`` is ``-X``, beside which is ``--kafka-client``.
        give: Makes what the command gets as its first argument; None makes the wiring, in the
            way that `main` was given.
    """
    if "x" in names:
        names = (*names, "kafka_client")
    names = (*names, *_OF_ALL)

    def decorate(command: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(command)
        def run(**given: Any) -> object:
            context = given.pop("context")
            config, flags = given.pop("config"), {name: given.pop(name) for name in names}
            loaded = _load(flags, config)
            if give:
                return command(give(loaded), **given)
            wire = context.obj or Wiring
            wiring = wire(settings=loaded.settings, invocation=Invocation.of(context))
            return command(wiring, **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        parameters = [
            *(_parameter(name, _flag(name)) for name in names if name not in {"x", *_OF_ALL}),
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(_parameter(name, _CLIENT_OPTION) for name in names if name == "x"),
            *(_parameter(name, _flag(name)) for name in _OF_ALL),
            _parameter("config", _CONFIG),
            _parameter("context", typer.Context),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _flag(name: str) -> Any:
    (option,) = (each for each in OPTIONS if each.path == _PATHS.get(name, name))
    default = "" if option.default is None else f"default: {option.default}; "
    words = f"{option.metadata['help']} [{default}{variable(option)}]"
    return Annotated[str | None, typer.Option(help=words, metavar=_METAVARS[name])]


def _parameter(name: str, annotation: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=annotation)


_CLIENT_OPTION = Annotated[
    list[str] | None,
    typer.Option("-X", help="an option of the Kafka client", metavar="KEY=VALUE"),
]
_CONFIG = Annotated[
    str | None,
    typer.Option(
        help=f"the settings file [default: {CONFIG_FILE}; {CONFIG_VARIABLE}]", metavar="FILE"
    ),
]


def _load(flags: Mapping[str, Any], config: str | None) -> Loaded:
    """Load the settings under these flags; logging goes to stderr from now on."""
    for name, value in flags.items():
        if isinstance(value, str) and without_password(value) != value:
            raise _exposed(
                f"--{name}", f"VOLTPAY_{name.upper()}, voltpay.toml or database.password_file"
            )
    for option in flags.get("x") or []:
        name = option.partition("=")[0]
        if "password" in name.lower() or without_password(option) != option:
            raise _exposed(f"-X {name}", "VOLTPAY_KAFKA_PASSWORD or kafka.password_file")
    given = {_PATHS.get(name, name): value or None for name, value in flags.items()}
    loaded = load(given, config)
    settings = loaded.settings
    about.group = settings.group
    about.node_id = settings.node_id if isinstance(settings.node_id, int) else None
    log_to_stderr(settings.log_level, settings.log_format)
    for warning in loaded.warnings:
        log.warning(warning, extra=event("unknown-variable"))
    return loaded


def _exposed(flag: str, others: str) -> Misconfigured:
    return Misconfigured(
        f"{flag}: everybody on this machine can read a password on the command line; give {others}"
    )
