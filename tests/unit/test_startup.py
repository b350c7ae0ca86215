"""What the program imports: the clients of servers only where a command connects to them."""

import subprocess
import sys

import pytest
from tests.harness.cli import LOCAL, voltpay

PROGRAM = """
import sys
from voltpay_cli.app import main
try:
    main()
finally:
    print(*sys.modules, file=sys.stderr)
"""

FOR_SERVERS = {"kafka", "pg8000"}
FOR_A_TERMINAL = {"rich"}


def modules_of(*arguments: str) -> set[str]:
    """The modules that are imported at the end of a command."""
    program = [sys.executable, "-c", PROGRAM, *arguments]
    ended = subprocess.run(program, capture_output=True, check=True, text=True)
    return set(ended.stderr.splitlines()[-1].split())


def imported_by(*arguments: str) -> set[str]:
    """The packages that are imported at the end of a command."""
    return {name.partition(".")[0] for name in modules_of(*arguments)}


def test_the_list_of_commands_imports_no_command() -> None:
    """The help of the program needs neither a command, nor settings, nor an adapter of a store."""
    found = modules_of("--help")
    assert "typer" in found
    assert not {name for name in found if name.startswith("voltpay_cli.commands.")}
    assert not found & {"typed_settings", "voltpay_cli.settings", "voltpay_cli.wiring", "sqlite3"}


@pytest.mark.parametrize("arguments", [("--help",), ("consume", "--help"), ("config", "show")])
def test_help_and_settings_import_no_client(arguments: tuple[str, ...]) -> None:
    """What connects to no server imports neither a client nor what only a terminal needs."""
    found = imported_by(*arguments)
    assert "typer" in found
    assert not found & (FOR_SERVERS | FOR_A_TERMINAL | {"ssl"})


@pytest.mark.usefixtures("folder")
def test_a_run_without_servers_imports_no_client() -> None:
    """Files and SQLite need no client of a server."""
    assert voltpay("produce", "--source", "file:in.jsonl", "--count", "1").exit_code == 0
    found = imported_by("consume", *LOCAL)
    assert "sqlite3" in found
    assert not found & (FOR_SERVERS | FOR_A_TERMINAL)
