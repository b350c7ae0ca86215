"""The exit codes, and how failures become them."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured, Unavailable

log = logging.getLogger("voltpay")


class ExitCode(IntEnum):
    """What a command ends with; 2, the usage error, is typer's own."""

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
    """What a command that fails so ends with."""
    misconfigured = isinstance(failure, Misconfigured)
    return ExitCode.MISCONFIGURED if misconfigured else ExitCode.UNAVAILABLE


@contextmanager
def _exiting() -> Iterator[None]:
    try:
        yield
    except (Misconfigured, Unavailable) as failure:
        code = _report(with_remedy(failure), exit_code(failure))
    except KeyboardInterrupt:
        code = _report("stopped", ExitCode.STOPPED)
    except BrokenPipeError:
        code = ExitCode.DONE  # whoever reads our output has seen enough
    else:
        return
    raise typer.Exit(code)


def _report(message: str, code: ExitCode) -> ExitCode:
    typer.echo(f"voltpay: {message}", err=True)
    return code
