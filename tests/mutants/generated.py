"""Judges the mutants that mutmut makes: `python -m tests.mutants.generated [pattern …]`."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

from attrs import frozen
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MEMORY = 4 * 1024**3
"""Bytes that a run may take: a mutant may loop and collect for ever."""
CAUGHT = {
    *("killed", "timeout", "segfault", "caught by type check"),
    "check was interrupted by user",  # what pytest says of a test file that cannot be imported
}
_PROSE = re.compile(r"""(["'])(?:(?!\1).)* (?:(?!\1).)*\1""")
_ID = re.compile(r"\.x_?(?:ǁ(?P<type>\w+)ǁ)?(?P<function>\w+?)__mutmut_\d+$")


@frozen
class Mutant:
    """A generated mutant: where it is, what it replaces, and what became of it."""

    name: str
    function: str
    old: str
    new: str
    status: str

    @property
    def is_wording(self) -> bool:
        """Whether only the words of a sentence differ, which no program reads."""
        plain = self.new.replace("XX", "").casefold()
        return bool(_PROSE.search(self.new)) and plain == self.old.replace("XX", "").casefold()


def main(patterns: Sequence[str]) -> int:
    """Run mutmut over the functions that fit a pattern, or all, and judge what survives.

    Returns:
        1 where a mutant survives that is not listed, or a listed one survives no longer.
    """
    os.chdir(ROOT)
    patterns = patterns or ["voltpay_core.*"]
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    environment = {"HYPOTHESIS_PROFILE": "mutation", **os.environ}
    children = ["--max-children", os.environ.get("MUTATION_PROCESSES", "1")]
    subprocess.run(["mutmut", "run", *children, *patterns], env=environment, check=True)
    return judge([m for m in mutants() if any(fnmatch(m.name, pattern) for pattern in patterns)])


def judge(found: Sequence[Mutant]) -> int:
    """Print the score of each module and every survivor that is not listed."""
    listed = {(each["function"], each["old"], each["new"]) for each in equivalents()}
    survivors, totals, caught = set(), Counter[str](), Counter[str]()
    news = []
    for mutant in found:
        key = (mutant.function, mutant.old, mutant.new)
        if mutant.is_wording or (key in listed and mutant.status not in CAUGHT):
            survivors.add(key)
            continue
        module = mutant.function.split(":")[0]
        totals[module] += 1
        caught[module] += mutant.status in CAUGHT
        if mutant.status not in CAUGHT:
            news.append(mutant)
    for mutant in news:
        print(f"{mutant.status} {mutant.name}\n- {mutant.old}\n+ {mutant.new}")
    for module, total in sorted(totals.items()):
        print(f"{caught[module] / total:7.1%}  {caught[module]:4} of {total:4}  {module}")
    print(f"{caught.total() / (totals.total() or 1):7.1%}  {caught.total()} of {totals.total()}")
    functions = {mutant.function for mutant in found}
    stale = {key for key in listed - survivors if key[0] in functions}
    for function, old, new in sorted(stale):
        print(f"listed as equivalent, and caught or gone: {function}\n- {old}\n+ {new}")
    return int(bool(news or stale))


def equivalents() -> list[dict[str, str]]:
    """The mutants that change nothing anybody promises, with the reason."""
    found: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text("utf-8")).get("mutant", [])
    return found


def mutants() -> Iterator[Mutant]:
    """What mutmut has made and tried so far."""
    for meta in sorted(Path("mutants/src").rglob("*.meta")):
        path = meta.relative_to("mutants").with_suffix("")
        if not config().should_mutate(path):
            continue
        for name, code in json.loads(meta.read_text())["exit_code_by_key"].items():
            status = status_by_exit_code[code]
            if status == "not checked":
                continue
            lines = get_diff_for_mutant(name, path=path).splitlines()[2:]
            old, new = (
                " ".join(line[1:].strip() for line in lines if line.startswith(sign))
                for sign in "-+"
            )
            yield Mutant(name, _function(name), old, new, status)


def _function(name: str) -> str:
    """A mutant's place for people, such as ``voltpay_core.breaker:Breaker.after``."""
    found = _ID.search(name)
    assert found is not None, name
    place = ".".join(part for part in (found["type"], found["function"]) if part)
    return f"{name[: found.start()]}:{place}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
