"""The command line as tests run it: inside this process, or as a program of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import typer
from typer.core import TyperGroup
from typer.testing import CliRunner, Result

from voltpay_cli.app import app

VOLTPAY: Any = typer.main.get_command(app)

EACH = """
import json, os, sys
from voltpay_cli.app import main
for number, command in enumerate(json.loads(sys.argv[1])):
    sys.argv[1:] = [os.fsdecode(word.encode("utf-8", "surrogateescape")) for word in command]
    try:
        main()
    except SystemExit as end:
        with open("codes", "a") as codes:
            print(end.code or 0, file=codes)
"""

LOCAL = ("--source", "file:in.jsonl", "--store", "sqlite:voltpay.db", "--events", "file:out")
"""The three URLs of a run without any server, in the working directory."""


def voltpay(*arguments: str, env: Mapping[str, str] | None = None) -> Result:
    """Run one command inside this process."""
    return CliRunner().invoke(app, arguments, env=env)


def parse(command: Sequence[str]) -> None:
    """Parse one command and its arguments, and run nothing; it fails where they are wrong."""
    node, (_, *words) = VOLTPAY, command
    while isinstance(node, TyperGroup):
        assert words[0] in node.commands, " ".join(command)
        node, (_, *words) = node.commands[words[0]], words
    node.make_context(node.name, words)


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


def ended(
    redirected: str, *commands: Sequence[str], **environment: str
) -> tuple[list[int], "subprocess.CompletedProcess[bytes]"]:
    """The exit codes of commands that one process runs, its streams redirected by a shell."""
    Path("codes").write_text("")
    program = [sys.executable, "-c", EACH, json.dumps(commands)]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}', "bash", *program],
        env=os.environ | environment,
        capture_output=True,
        check=False,
    )
    return [int(code) for code in Path("codes").read_text().split()], done
