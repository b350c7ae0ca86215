"""Runs tests against a copy of the sources in which something is replaced."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECONDS = 300
OUTPUT = "output"
# Each run is forked from a process that has imported what all of them need.
PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload([__name__, "attrs", "hypothesis.strategies"])


def failing(file: str, old: str, new: str, tests: Sequence[str]) -> str:
    """The first law that fails with this replacement made, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"
        shutil.copytree(ROOT / "src", sources)
        if file:
            path = sources / file
            path.write_text(path.read_text().replace(old, new))
            for compiled in path.parent.glob(f"__pycache__/{path.stem}.*"):
                compiled.unlink()
        return first_failure(sources, Path(folder), tests)


def first_failure(sources: Path, folder: Path, tests: Sequence[str]) -> str:
    """Run the tests against these sources, in a process of their own, until one fails."""
    process = PROCESSES.Process(target=run, args=(sources, folder, tests))
    process.start()
    process.join(SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        return f"no end within {SECONDS} seconds"
    if process.exitcode == 0:
        return ""
    printed = (folder / OUTPUT).read_text(errors="replace")
    lines = [line for line in printed.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].partition(" - ")[0] if lines else printed[-1000:]


def run(sources: Path, folder: Path, tests: Sequence[str]) -> None:
    """Become pytest, in a process that has imported it, and none of the sources, before."""
    with (folder / OUTPUT).open("wb") as output:
        for stream in (1, 2):
            os.dup2(output.fileno(), stream)
    os.chdir(ROOT)
    os.environ |= {  # for the programs that tests start
        "PYTHONPATH": str(sources),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "mutants",
        "TMPDIR": str(folder),
    }
    tempfile.tempdir = str(folder)
    sys.path.insert(0, str(sources))
    sys.dont_write_bytecode = True
    options = ("-x", "-q", "-p", "no:cacheprovider", "--tb=no")
    imported = ("-W", "ignore::pytest.PytestAssertRewriteWarning")
    sys.exit(pytest.main([*options, *imported, "--basetemp", str(folder / "pytest"), *tests]))
