"""Whether the locked dependencies are those that pyproject.toml asks for."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.harness.stack.places import ROOT

LOCKS = sorted((ROOT / "requirements").glob("*.txt"))


def pins(lock: Path) -> list[str]:
    return [line for line in lock.read_text("utf-8").splitlines() if "==" in line]


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_fits_the_project(lock: Path, tmp_path: Path) -> None:
    """The command in a lock's header, which keeps every version that still fits, changes none."""
    (header,) = re.findall(r"^#\s+uv (.*) --output-file", lock.read_text("utf-8"), re.MULTILINE)
    locked_again = Path(shutil.copy(lock, tmp_path))
    command = [sys.executable, "-m", "uv", *shlex.split(header), "--output-file", str(locked_again)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, ended.stderr
    assert pins(locked_again) == pins(lock), "run `nox -s lock`"


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_a_lock_names_no_index(lock: Path) -> None:
    """Where packages come from is the choice of the machine that installs them."""
    assert not re.search(r"://|--(extra-)?index|--find-links", lock.read_text("utf-8"))
