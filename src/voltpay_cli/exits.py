"""The exit codes, and how failures become them."""

from __future__ import annotations

import logging
import os
import sys
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

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

    def invoke(self, ctx: typer.Context) -> Any:  # type: ignore[override]
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Misconfigured as error:
            code = _tell(error, ExitCode.MISCONFIGURED)
        except Unavailable as error:
            code = _tell(error, ExitCode.UNAVAILABLE)
        except KeyboardInterrupt as error:
            code = _tell(error, ExitCode.STOPPED)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more
            code = ExitCode.DONE
        raise typer.Exit(code)


def _tell(error: BaseException, code: ExitCode) -> ExitCode:
    typer.echo(f"voltpay: {str(error) or 'stopped'}", err=True)
    return code
