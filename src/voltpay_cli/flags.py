"""The flags that commands share, and the settings that they give."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Annotated, TypeVar

import typer

from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.settings.converters import without_password
from voltpay_cli.settings.loading import Loaded, load
from voltpay_core.errors import Misconfigured

Source = Annotated[
    str | None,
    typer.Option(
        help="kafka://host:port[,host:port], file:PATH or file:- [VOLTPAY_SOURCE]",
        metavar="URL",
    ),
]
Store = Annotated[
    str | None,
    typer.Option(
        help="postgresql://user@host:port[,host:port]/database or sqlite:PATH [VOLTPAY_STORE]",
        metavar="URL",
    ),
]
Events = Annotated[
    str | None,
    typer.Option(
        help="kafka://host:port[,host:port] or file:DIRECTORY; the source, where that is Kafka"
        " [VOLTPAY_EVENTS]",
        metavar="URL",
    ),
]
NodeId = Annotated[
    str | None,
    typer.Option(help="0-999, or auto for the first free one [VOLTPAY_NODE_ID]", metavar="ID"),
]
Group = Annotated[
    str | None, typer.Option(help="the Kafka consumer group [VOLTPAY_GROUP]", metavar="NAME")
]
KafkaOptions = Annotated[
    list[str] | None,
    typer.Option("-X", help="a setting of the Kafka client", metavar="KEY=VALUE"),
]
Config = Annotated[
    str | None,
    typer.Option(help="the settings' file; voltpay.toml [VOLTPAY_CONFIG]", metavar="FILE"),
]


T = TypeVar("T")

log = logging.getLogger("voltpay")


def checked(flag: str, convert: Callable[[str], T], value: str) -> T:
    """The value of a flag that is no setting.

    Raises:
        Misconfigured: It is unacceptable.
    """
    try:
        return convert(value)
    except ValueError as error:
        raise Misconfigured(f"{flag}: {error}") from None


def settings_of(config: str | None = None, x: list[str] | None = None, **flags: object) -> Loaded:
    """The settings in force under these flags; logging goes to stderr from now on.

    Raises:
        Misconfigured: A setting is unacceptable, or a secret stands on the command line.
    """
    for name, value in flags.items():
        if isinstance(value, str) and without_password(value) != value:
            raise Misconfigured(
                f"--{name}: everybody on this machine can read a password on the command line;"
                f" give VOLTPAY_{name.upper()}, voltpay.toml or database.password_file"
            )
    for option in x or []:
        name = option.partition("=")[0]
        if "password" in name.lower() or without_password(option) != option:
            raise Misconfigured(
                f"-X {name}: everybody on this machine can read a password on the command line;"
                " give VOLTPAY_KAFKA_PASSWORD or kafka.password_file"
            )
    loaded = load({**flags, "kafka.options": x or None}, config)
    log_to_stderr(loaded.settings.log_level)
    for warning in loaded.warnings:
        log.warning(warning)
    return loaded
