"""The demo consumes sample payments, and damages no file."""

from pathlib import Path

import pytest
from tests.harness.cli import voltpay


def test_a_demo_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with 0, over and over in its own folder, having changed nothing the second time."""
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        result = voltpay("demo")
        assert result.exit_code == 0, result.stderr
        assert "each payment is there once" in result.stdout


def test_a_demo_leaves_other_files_alone(tmp_path: Path) -> None:
    """A folder with other files is rejected, and its files stay."""
    payments = tmp_path / "payments.jsonl"
    payments.write_text("mine\n")
    assert voltpay("demo", str(tmp_path)).exit_code == 78
    assert payments.read_text() == "mine\n"


def test_a_demo_says_where_it_cannot_write(tmp_path: Path) -> None:
    """A folder that cannot be made is named with the reason and the way out."""
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    result = voltpay("demo", str(in_the_way / "demo"))
    assert result.exit_code == 78
    assert f"cannot write to {in_the_way}/demo: Not a directory: name another" in result.stderr
