"""What the log says of a command: who runs it, what it was told, and never a secret."""

import os
import pwd
from pathlib import Path

import pytest
from tests.harness.cli import LOCAL, voltpay

PURGE = ("idempotency", "purge", "--store", "sqlite:voltpay.db", "--older-than", "9d")

pytestmark = pytest.mark.usefixtures("folder")


def line(*arguments: str, **environment: str) -> str:
    """The audit line of a purge."""
    result = voltpay(*PURGE, *arguments, env={f"VOLTPAY_{n}": v for n, v in environment.items()})
    assert result.exit_code == 0, result.output
    (found,) = (each for each in result.stderr.splitlines() if " audit: " in each)
    return found


@pytest.mark.parametrize("name", ["client.secret", "SASL_TOKEN", "my-secret"])
def test_a_secret_is_masked(name: str) -> None:
    """The value of an option whose name says that it is a secret is not logged."""
    found = line("-X", f"{name}=hunter2", "-X", "client.id=x")
    assert "hunter2" not in found
    assert f"-X '{name}=***' -X client.id=x" in found


def test_a_password_in_a_url_is_masked() -> None:
    """A source that comes from the environment is named by no audit line with its password."""
    assert "hunter2" not in line(SOURCE="file:postgresql://u:hunter2@h/d")


def test_a_line_stays_one_line() -> None:
    """An argument with a line end or a control character cannot forge a line of the log."""
    found = line("-X", "client.id=a\nINFO audit: root@x: voltpay\x1b[2K")
    assert "client.id=a?INFO audit: root@x: voltpay?[2K" in found


def test_what_is_forced_is_logged_and_what_is_not_is_silent() -> None:
    """A consumer that may skip records leaves a line; one that may not leaves none."""
    Path("in.jsonl").touch()
    assert "audit: " not in voltpay("consume", *LOCAL).stderr
    assert "--skip-expired (source file:in" in voltpay("consume", *LOCAL, "--skip-expired").stderr


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container the user may have no name; its number is logged instead."""

    def unknown(user: int) -> object:
        raise KeyError(user)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert f"audit: {os.geteuid()}@" in line()
