"""Lines on stderr, as text or as JSON: those of the log, and all others."""

from __future__ import annotations

import io
import json
import logging
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any, Literal, TextIO, cast

import typer
from attrs import define

from voltpay_adapters.private_tracebacks import PrivateFormatter
from voltpay_cli.times import iso

Event = Literal[
    "audit",
    "bug",
    "changelog-locked",
    "check-failed",
    "check-recovered",
    "claims-deleted",
    "dead-letter",
    "dead-letters-left-out",
    "declined",
    "failed",
    "fenced",
    "idle",
    "kafka-client",
    "library",
    "listening",
    "node-id",
    "outage",
    "outage-ended",
    "output",
    "progress",
    "republished",
    "retrying",
    "risk",
    "source",
    "started",
    "stopped",
    "stopping",
    "store",
    "took-over",
    "unknown-variable",
    "usage",
    "worker-died",
    "worker-given-up",
]
"""The fixed word for what a line says; docs/reference/log-lines.md has the meaning of each."""


@define
class About:
    """Facts about the process that each line in JSON has; None if not known yet."""

    node_id: int | None = None
    group: str | None = None


about = About()


def event(word: Event, **fields: object) -> dict[str, Any]:
    """The ``extra`` of a log line: its event, and the fields that it has in JSON."""
    return {"event": word, "fields": fields}


class JsonFormatter(PrivateFormatter):
    """Formats a log record as one JSON object, in ASCII."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line without its end."""
        return _line(
            getattr(record, "event", None) or _event_of_library(record.name),
            record.getMessage(),
            record.levelname,
            {
                **getattr(record, "fields", {}),
                **({"traceback": self.formatException(record.exc_info)} if record.exc_info else {}),
            },
            record.created,
        )


class JsonLines(io.TextIOBase):
    """A stderr that writes everything as lines in JSON.

    Attributes:
        below: The stream that gets the lines; the log writes there itself.
    """

    def __init__(self, below: TextIO) -> None:
        self.below = below
        self._unfinished = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """That of the stream below."""
        return self.below.encoding

    def writable(self) -> bool:
        """Return true."""
        return True

    def fileno(self) -> int:
        """The descriptor of the stream below."""
        return self.below.fileno()

    def write(self, text: str) -> int:
        """Write the text: everything up to the next end of a line becomes one object."""
        self._unfinished += text
        if text.endswith("\n"):
            whole, self._unfinished = self._unfinished.rstrip("\n"), ""
            if whole.strip():
                self.put("output", whole, "WARNING", {})
        return len(text)

    def put(self, word: Event, message: str, level: str, fields: Mapping[str, object]) -> None:
        """Write one object."""
        self.below.write(_line(word, message, level, fields) + "\n")

    def pass_on(self, line: str, **fields: object) -> None:
        """Write a line of another process, with more fields if it is an object already."""
        try:
            told = json.loads(line)
        except ValueError:
            told = None
        if isinstance(told, dict):
            self.below.write(json.dumps(told | fields) + "\n")
        elif line.strip():
            self.put("output", line.rstrip("\n"), "WARNING", fields)

    def flush(self) -> None:
        """Write an unfinished line."""
        if not self.below.closed:
            if self._unfinished:
                self.write("\n")
            self.below.flush()


def use(form: str) -> TextIO:
    """Let stderr have this format from now on, and return the stream for whole lines."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr = sys.stderr.below
    below = sys.stderr
    if form == "json":
        sys.stderr = cast(TextIO, JsonLines(below))
    return below


def in_json() -> bool:
    """Whether stderr has JSON."""
    return isinstance(sys.stderr, JsonLines)


def tell(word: Event, message: str, text: str | None = None, **fields: object) -> None:
    """Write an error to stderr, beside the log.

    Args:
        text: What is written where the format is text; None is the message.
    """
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.put(word, message, "ERROR", fields)
    else:
        typer.echo(f"voltpay: {message}" if text is None else text, err=True)


def tell_at_once(word: Event, message: str) -> None:
    """Write to stderr without its buffer, which may be in use when a signal comes."""
    line = _line(word, message, "INFO", {}) if in_json() else f"voltpay: {message}"
    os.write(2, f"{line}\n".encode())


def pass_on(line: str, worker: int) -> None:
    """Write a line that a worker wrote to its stderr."""
    if isinstance(sys.stderr, JsonLines):
        sys.stderr.pass_on(line, worker=worker)
    else:
        print(f"[{worker}] {line}", end="", file=sys.stderr)


def _line(
    word: str,
    message: str,
    level: str,
    fields: Mapping[str, object],
    time: float | None = None,
) -> str:
    moment = datetime.now(UTC) if time is None else datetime.fromtimestamp(time, UTC)
    found = {
        "time": iso(moment),
        "level": level.lower(),
        "event": word,
        "message": message,
        "version": version(),
        "node_id": about.node_id,
        "group": about.group,
    }
    # msgspec is faster, and cannot write ASCII, which every encoding of a terminal has
    return json.dumps(_encodable({**found, **fields, **found}), default=str)


def _encodable(value: object) -> object:
    """The value, without the surrogates that stand for the bytes of a name outside of UTF-8."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, Mapping):
        return {str(name): _encodable(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_encodable(item) for item in value]
    return value


def _event_of_library(logger: str) -> Event:
    ours = logger.removeprefix("voltpay.")
    return "kafka-client" if ours.partition(".")[0] == "kafka" else "library"


@cache
def version() -> str:
    """The version of this program."""
    from importlib import metadata  # noqa: PLC0415 - slow, and not for text

    return metadata.version("voltpay")
