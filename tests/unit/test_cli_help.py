"""What the command line says of itself: help, examples and completion."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.harness.cli import voltpay
from typer.main import get_command

from voltpay_cli.app import app

pytestmark = pytest.mark.usefixtures("folder")

VOLTPAY: Any = get_command(app)


def leaves(node: Any, *names: str) -> Iterator[tuple[str, Any]]:
    """Each command by its full name."""
    if not hasattr(node, "commands"):
        yield " ".join(names), node
        return
    for name, below in node.commands.items():
        yield from leaves(below, *names, name)


COMMANDS = dict(leaves(VOLTPAY))


def groups(node: Any, *names: str) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each group by its names; the first is the program."""
    if hasattr(node, "commands"):
        yield names, node
        for name, below in node.commands.items():
            yield from groups(below, *names, name)


def complete(shell: str, *words: str) -> set[str]:
    """What a shell offers for the last word."""
    environment = {
        "_VOLTPAY_COMPLETE": f"complete_{shell}",
        "COMP_WORDS": " ".join(("voltpay", *words)),
        "COMP_CWORD": str(len(words)),
        "_TYPER_COMPLETE_ARGS": " ".join(("voltpay", *words)),
    }
    return {line.split(":")[0].strip('"') for line in voltpay(env=environment).stdout.split("\n")}


def test_the_help_of_the_program_is_that_of_its_commands() -> None:
    """The list of commands, which imports none of them, says what each says of itself."""
    assert dict(VOLTPAY.helps) == {name: command.help for name, command in VOLTPAY.commands.items()}
    assert all(f"  {name} " in voltpay("--help").stdout for name in VOLTPAY.commands)


ACTS = {
    "demo",
    "observe",
    "db bootstrap",
    "db clear-checksums",
    "db release-locks",
    "db rollback",
    "db update",
    "db validate",
}
"""The commands that act and report nothing but that, most of them in Liquibase's words."""


@pytest.mark.parametrize("name", sorted(COMMANDS.keys() - ACTS))
def test_every_command_that_reports_does_so_to_programs_too(name: str) -> None:
    """Each command has --output json, unless it only acts."""
    told = voltpay(*name.split(), "--help").stdout
    assert re.search(
        r"  --output [<\[]text\|json[>\]]  ", told
    )  # as old and new versions of Typer do


JSON = {
    "check": {"ok", "checks"},
    "config show": {"source", "limits.claims_days"},
    "dead-letter list": {"counts", "letters"},
    "dead-letter replay": {"dry_run", "codes"},
    "idempotency purge": {"claims", "dry_run", "finished"},
    "produce": {"produced", "seed"},
    "consume": {"written", "seconds"},
}


@pytest.mark.parametrize("name", JSON)
def test_json_is_one_object(name: str) -> None:
    """With --output json stdout has one JSON object, and nothing beside it."""
    Path("in.jsonl").touch()
    given = {"SOURCE": "file:in.jsonl", "STORE": "sqlite:voltpay.db", "EVENTS": "file:out"}
    environment = {f"VOLTPAY_{name}": value for name, value in given.items()}
    result = voltpay(*name.split(), "--output", "json", env=environment)
    assert result.exit_code == 0, result.output
    assert JSON[name] <= json.loads(result.stdout).keys()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example(name: str) -> None:
    """The help of each command shows a use of it, and the command line accepts what it shows."""
    shown = voltpay(*name.split(), "--help").stdout.split("Examples:\n")[1].split("\n")
    lines = [shlex.split(line) for line in shown if line]
    assert lines[0][: 1 + len(name.split())] == ["voltpay", *name.split()]
    for program, *words in lines:
        node, given = VOLTPAY, iter(words)
        while hasattr(node, "commands"):
            node = node.commands[next(given)]
        node.make_context(name, list(given))
        assert program == "voltpay"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes_every_command_and_option(
    shell: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each command is offered in its group, and each of its options after two dashes."""
    if shell == "bash":
        for names, node in groups(VOLTPAY):
            assert set(node.commands) <= complete(shell, *names, '""'), names
        for name, command in COMMANDS.items():
            options = {o for p in command.params for o in p.opts if o.startswith("--")}
            assert options <= complete(shell, *name.split(), "--"), name
    # Typer would look for the shell that has started these tests
    monkeypatch.setenv("_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION", "1")
    script = voltpay("--show-completion", shell)
    assert f"_VOLTPAY_COMPLETE=complete_{shell}" in script.stdout
