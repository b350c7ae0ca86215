"""The command line as tests run it: inside this process, or as a program of its own."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from typer.testing import CliRunner, Result

from voltpay_cli.main import app

LOCAL = ("--source", "file:in.jsonl", "--store", "sqlite:voltpay.db", "--events", "file:out")
"""The three URLs of a run without any server, in the working directory."""


def voltpay(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run one command inside this process."""
    return CliRunner().invoke(app, arguments, env=env)


def start(*arguments: str, cwd: Path, **environment: str) -> "subprocess.Popen[str]":
    """Start one command as a program of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "voltpay_cli", *arguments],
        cwd=cwd,
        env=os.environ | environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
