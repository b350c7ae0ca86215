"""Tries every mutant: `python -m tests.mutants [part of a name or a file …]`."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from attrs import evolve
from tests.mutants.mutants import MUTANTS, Mutant
from tests.mutants.trial import ROOT, failing

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
    with ThreadPoolExecutor(WORKERS) as pool:
        failures = pool.map(lambda test: failing("", "", "", [test]), tests)
        if failure := next(filter(None, failures), None):
            print(f"the laws fail without any mutant:\n{failure}")
            return 1
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


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("words", nargs="*", metavar="WORD", help="part of a name or a file")
    parser.add_argument("--by", action="append", default=[], help="run this test file, no others")
    given = parser.parse_args()
    sys.exit(min(main(given.words, given.by), 100))
