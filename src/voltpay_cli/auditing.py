"""One line in the log for each command that deletes, sends, reveals or changes something."""

from __future__ import annotations

import logging
import os
import pwd
import shlex
import socket
from collections.abc import Iterator

import typer
from attrs import frozen

from voltpay_cli.console.lines import event
from voltpay_cli.settings.masking import MASK, names_secret, without_password

log = logging.getLogger("voltpay.audit")
log.setLevel(logging.INFO)  # also if other loggers log only errors


@frozen
class Invocation:
    """The command line of a command.

    Attributes:
        name: The names of the command, such as ``dead-letter replay``.
        words: The whole command line, with secrets masked.
    """

    name: str = ""
    words: str = "voltpay"

    @classmethod
    def of(cls, context: typer.Context) -> Invocation:
        """The invocation of the running command."""
        names = [context.info_name or ""]
        parent = context.parent
        while parent is not None and parent.parent is not None:
            names.insert(0, parent.info_name or "")
            parent = parent.parent
        words = shlex.join(["voltpay", *names, *_given(context)])
        return cls(" ".join(names), "".join(c if c.isprintable() else "?" for c in words))

    @property
    def application(self) -> str:
        """The name of the command for sessions of the database."""
        return ":".join(filter(None, ("voltpay", self.name.replace(" ", "-"))))

    def audit(self, **concerned: str | None) -> None:
        """Log who runs this command, and what it concerns.

        Args:
            concerned: Servers and files by the names of their settings.
        """
        found = (f"{name} {without_password(value)}" for name, value in concerned.items() if value)
        log.info(
            "audit: %s@%s: %s (%s)",
            _user(),
            socket.gethostname(),
            self.words,
            "; ".join(found),
            extra=event("audit", user=_user(), command=self.name),
        )


def _given(context: typer.Context) -> Iterator[str]:
    """The options and arguments of the command line, secrets masked."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[parameter.name or ""]
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if parameter.param_type_name == "option":
                yield parameter.opts[0]
            if not isinstance(each, bool):
                yield _masked(str(each))


def _masked(text: str) -> str:
    """A value, or a name with its value, without a secret."""
    name, equals, _ = text.partition("=")
    return f"{name}={MASK}" if equals and names_secret(name) else without_password(text)


def _user() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # as in a container
        return str(os.geteuid())
