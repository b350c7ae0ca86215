"""The options that commands share: each gives a setting."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Callable, Mapping
from operator import attrgetter
from typing import Annotated, Any

import typer

from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.settings import Loaded, load
from voltpay_cli.settings.converters import without_password
from voltpay_core.errors import Misconfigured

log = logging.getLogger("voltpay")


def _option(metavar: str, words: str, *names: str, kind: Any = str) -> Any:
    return Annotated[kind | None, typer.Option(*names, help=words, metavar=metavar)]


_SHARED = {
    "source": _option("URL", "kafka://host:port[,host:port], file:PATH or file:- [VOLTPAY_SOURCE]"),
    "store": _option(
        "URL",
        "postgresql://user@host:port[,host:port]/database or sqlite:PATH [VOLTPAY_STORE]",
    ),
    "events": _option(
        "URL",
        "kafka://host:port[,host:port] or file:DIRECTORY; the source, where that is Kafka"
        " [VOLTPAY_EVENTS]",
    ),
    "node_id": _option("ID", "0-999, or auto for the first free one [VOLTPAY_NODE_ID]"),
    "group": _option("NAME", "the Kafka consumer group [VOLTPAY_GROUP]"),
    "batch_size": _option("N", "records a batch, at most [VOLTPAY_BATCH_SIZE]"),
    "commit_unit": _option(
        "UNIT", "accounts a transaction: account, N or batch [VOLTPAY_COMMIT_UNIT]"
    ),
    "partitions": _option("N", "of each topic [VOLTPAY_TOPICS_PARTITIONS]"),
    "replication": _option("N", "replicas of each partition [VOLTPAY_TOPICS_REPLICATION]"),
    "kafka_client": _option("NAME", "kafka-python or confluent [VOLTPAY_KAFKA_CLIENT]"),
    "x": _option("KEY=VALUE", "a setting of the Kafka client", "-X", kind=list[str]),
    "config": _option("FILE", "the settings' file; voltpay.toml [VOLTPAY_CONFIG]"),
}
_SETTINGS = {
    "kafka_client": "kafka.client",
    "partitions": "topics.partitions",
    "replication": "topics.replication",
    "x": "kafka.options",
}
"""The settings that options give, where their names differ."""

_LAST = ("kafka_client", "x", "config")
"""The options that are told of behind a command's own."""


def with_settings(
    *names: str, give: Callable[[Loaded], object] = attrgetter("settings")
) -> Callable[[Callable[..., object]], Callable[..., object]]:
    """Give a command these options and ``--config``, and pass it the settings in force.

    Args:
        names: The options, as `_SHARED` names them; ``x`` stands for ``kafka_client``, too.
        give: What the command gets as its first argument.
    """
    shared = [*names, *(["kafka_client"] if "x" in names else []), "config"]

    def decorate(command: Callable[..., object]) -> Callable[..., object]:
        @functools.wraps(command)
        def run(**given: Any) -> object:
            config, flags = given.pop("config"), {n: given.pop(n) for n in shared[:-1]}
            return command(give(_load(flags, config)), **given)

        own = list(inspect.signature(command, eval_str=True).parameters.values())[1:]
        parameters = [
            *(_parameter(name) for name in shared if name not in _LAST),
            *(each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in own),
            *(_parameter(name) for name in _LAST if name in shared),
        ]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {each.name: each.annotation for each in parameters}
        return run

    return decorate


def _parameter(name: str) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, default=None, annotation=_SHARED[name])


def _load(flags: Mapping[str, Any], config: str | None) -> Loaded:
    """Load the settings under these flags; logging goes to stderr from now on.

    Raises:
        Misconfigured: A setting is unacceptable, or a secret is on the command line.
    """
    for name, value in flags.items():
        if isinstance(value, str) and without_password(value) != value:
            raise _exposed(
                f"--{name}", f"VOLTPAY_{name.upper()}, voltpay.toml or database.password_file"
            )
    for option in flags.get("x") or []:
        name = option.partition("=")[0]
        if "password" in name.lower() or without_password(option) != option:
            raise _exposed(f"-X {name}", "VOLTPAY_KAFKA_PASSWORD or kafka.password_file")
    given = {_SETTINGS.get(name, name): value or None for name, value in flags.items()}
    loaded = load(given, config)
    log_to_stderr(loaded.settings.log_level)
    for warning in loaded.warnings:
        log.warning(warning)
    return loaded


def _exposed(flag: str, others: str) -> Misconfigured:
    return Misconfigured(
        f"{flag}: everybody on this machine can read a password on the command line; give {others}"
    )
