"""The exit codes, and how failures become them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from voltpay_cli.console.lines import in_json, tell
from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured, Unavailable

USAGE = 2
"""The exit code of a wrong command line, which typer finds."""


class ExitCode(IntEnum):
    """The exit codes of commands, apart from `USAGE`."""

    DONE = 0
    BUG = 1
    UNAVAILABLE = 69
    STOPPED = 75
    MISCONFIGURED = 78


class ExitingGroup(TyperGroup):
    """Commands and groups of them whose failures end as one line on stderr and an exit code."""

    def make_context(self, *args: Any, **more: Any) -> Any:
        """Read the command line, which may print help."""
        with _exiting():
            return super().make_context(*args, **more)

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command."""
        with _exiting():
            return super().invoke(ctx)


def exit_code(failure: Misconfigured | Unavailable) -> ExitCode:
    """The exit code of a command that ends with this failure."""
    misconfigured = isinstance(failure, Misconfigured)
    return ExitCode.MISCONFIGURED if misconfigured else ExitCode.UNAVAILABLE


@contextmanager
def _exiting() -> Iterator[None]:
    try:
        yield
    except (Misconfigured, Unavailable) as failure:
        code = exit_code(failure)
        tell("failed", with_remedy(failure), code=failure.code, exit_code=int(code))
    except KeyboardInterrupt:
        code = ExitCode.STOPPED
        tell("stopped", "stopped", exit_code=int(code))
    except BrokenPipeError:
        code = ExitCode.DONE  # the reader of the output has closed the pipe
    except Exception as error:
        # typer keeps the class of its usage errors to itself
        if not (in_json() and hasattr(error, "format_message")):
            raise
        tell("usage", error.format_message(), exit_code=USAGE)
        raise typer.Exit(USAGE) from None
    else:
        return
    raise typer.Exit(code)
