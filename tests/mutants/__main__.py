"""Tries every mutant: `python -m tests.mutants [part of a name or a file …]`."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from attrs import evolve
from tests.mutants.mutants import MUTANTS, Mutant

ROOT = Path(__file__).parents[2]
SECONDS = 300
WORKERS = os.cpu_count() or 1


def main(words: Sequence[str], by: Sequence[str] = ()) -> int:
    """Try the mutants whose files or names hold one of the words, or all; the number of survivors.

    Each is one replacement in a copy of the sources; the laws run against the copy, and one of them
    must fail. A replacement that no longer applies counts as a survivor.
    """
    chosen = [
        evolve(mutant, tests=tuple(by) or mutant.tests)
        for mutant in MUTANTS
        if not words or any(word in f"{mutant.file}: {mutant.name}" for word in words)
    ]
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    if failure := failing("", "", "", tests):
        print(f"the laws fail without any mutant:\n{failure}")
        return 1
    with ThreadPoolExecutor(WORKERS) as pool:
        survived = sum(not caught for caught in pool.map(is_caught, chosen))
    print(f"{len(chosen) - survived} of {len(chosen)} mutants caught")
    return survived


def is_caught(mutant: Mutant) -> bool:
    """True where a law fails because of it; says so."""
    text = (ROOT / "src" / mutant.file).read_text()
    if text.count(mutant.old) != 1:
        print(f"DOES NOT APPLY  {mutant.name}: found {text.count(mutant.old)} times", flush=True)
        return False
    compile(text.replace(mutant.old, mutant.new), mutant.file, "exec")
    start = time.monotonic()
    failure = failing(mutant.file, mutant.old, mutant.new, mutant.tests)
    verdict = "caught  " if failure else "SURVIVES"
    told = f"{verdict} {time.monotonic() - start:5.1f} s  {mutant.name}"
    print(f"{told}: {failure}" if failure else told, flush=True)
    return bool(failure)


def failing(file: str, old: str, new: str, tests: Sequence[str]) -> str:
    """The first law that fails with this replacement made, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        sources = Path(folder) / "src"
        shutil.copytree(ROOT / "src", sources, ignore=shutil.ignore_patterns("__pycache__"))
        if file:
            path = sources / file
            path.write_text(path.read_text().replace(old, new))
        return first_failure(sources, Path(folder), tests)


def first_failure(sources: Path, folder: Path, tests: Sequence[str]) -> str:
    """Run the tests against these sources until one fails."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--tb=no"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(sources),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_PROFILE": "mutants",
        "TMPDIR": str(folder),
    }
    try:
        done = subprocess.run(
            [*command, "--basetemp", str(folder / "pytest"), *tests],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end within {SECONDS} seconds"
    if done.returncode == 0:
        return ""
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return lines[0].partition(" - ")[0] if lines else done.stdout[-500:] + done.stderr[-500:]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a name or a file")
    parser.add_argument("--by", action="append", default=[], help="run this test file, no others")
    given = parser.parse_args()
    sys.exit(min(main(given.words, given.by), 100))
