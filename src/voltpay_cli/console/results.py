"""Prints the result of a command: lines for a person, or JSON for a program."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Literal

import typer

Output = Literal["text", "json"]


def print_result(
    output: Output, values: Mapping[str, object], lines: Iterable[str], *, err: bool = False
) -> None:
    """Print the values as one JSON object, or the lines.

    Args:
        err: Print to stderr, because stdout has something else.
    """
    for line in [json.dumps(values)] if output == "json" else lines:
        typer.echo(line, err=err)
