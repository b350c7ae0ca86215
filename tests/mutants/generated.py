"""Judges the mutants that mutmut makes: `python -m tests.mutants.generated [module …]`."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from math import sqrt
from pathlib import Path

import mutmut.__main__ as mutmut
from attrs import frozen
from mutmut.configuration import config
from mutmut.mutation.diff_apply import get_diff_for_mutant
from mutmut.stats import status_by_exit_code
from mutmut.utils.file_utils import copy_src_dir
from mutmut.workers import isolation
from mutmut.workers.timeout import register_timeout

ROOT = Path(__file__).parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.toml")
MEMORY = 4 * 1024**3
"""Bytes that a run may take: a mutant may loop and collect for ever."""
PATIENCE = 10
"""How many times longer than with mutmut a run may take by the wall clock, which ends what waits
for ever. CPU time ends what loops. So a mutant is not caught because the machine is busy."""
LEAST = {"voltpay_core": 1.0, "voltpay_adapters": 0.85}
"""The share of a package's mutants that must be caught."""
NEEDS_SERVERS = "voltpay_adapters"
"""The package of which functions are not judged that none of the tests reaches."""
SERVER_TESTS = (
    *("tests/integration/test_kafka.py", "tests/integration/test_topic_admin.py"),
    *("tests/integration/test_postgres.py", "tests/integration/test_health.py"),
    "tests/integration/test_read_back.py",
    # it suspends the brokers, which are not its own here
    "--deselect=tests/integration/test_kafka.py::test_what_is_overdue_is_not_published",
)
"""What `--servers` adds to the tests without a server."""
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
    def module(self) -> str:
        """Where it is, without the function."""
        return self.function.partition(":")[0]

    @property
    def is_wording(self) -> bool:
        """Whether only the words of a sentence differ, which no program reads."""
        plain = self.new.replace("XX", "").casefold()
        return bool(_PROSE.search(self.new)) and plain == self.old.replace("XX", "").casefold()


def main(arguments: Sequence[str]) -> int:
    """Try the mutants of these modules, or some of them, and judge what survives.

    Returns:
        1 where too many mutants survive, or a listed one survives no longer.
    """
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("modules", nargs="*", default=["voltpay_core"], help="or packages")
    parser.add_argument("--sample", type=int, help="try that many, the same ones each time")
    parser.add_argument("--servers", action="store_true", help="use tests on real servers too")
    parser.add_argument("--own", action="store_true", help="use each module's own unit tests only")
    given = parser.parse_args(arguments)
    os.chdir(ROOT)
    if given.servers and "STACK_TEMPLATE" not in os.environ:
        again = [sys.executable, "-m", "tests.mutants.generated", *arguments]
        return subprocess.call([sys.executable, "-m", "tests.harness.stack", "--run", *again])
    os.environ.setdefault("HYPOTHESIS_PROFILE", "mutation")
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    processes = int(os.environ.get("MUTATION_PROCESSES", "1"))
    tests = config().pytest_add_cli_args_test_selection
    if all(module.startswith(NEEDS_SERVERS) for module in given.modules):
        tests.remove("tests/properties")  # of the core
    if given.servers:
        tests.extend(SERVER_TESTS)
    if given.own:
        tests[:] = [f"tests/unit/test_{name.rpartition('.')[2]}.py" for name in given.modules]
    vars(isolation).update(register_timeout=register_patiently)
    made = generate([f"{module}." for module in given.modules], processes)
    chosen = random.Random(0).sample(made, min(given.sample or len(made), len(made)))
    mutmut._run(chosen, processes)
    print(f"tried {len(chosen)} of {len(made)} mutants")
    return judge(list(mutants(chosen)))


def register_patiently(pid: int, timeout_s: float) -> None:
    """Have mutmut end a run after `PATIENCE` times that many seconds."""
    register_timeout(pid, PATIENCE * timeout_s)


def generate(prefixes: Sequence[str], processes: int) -> list[str]:
    """Mutate the modules whose names begin with one of these; the names of the mutants."""
    modules = [
        path
        for path in Path("src").rglob("*.py")
        if ".".join((*path.with_suffix("").parts[1:], "")).startswith(tuple(prefixes))
        and path.parent.name != "contracts"  # they are tests themselves
    ]
    config().only_mutate = [str(path) for path in modules]
    metas = {Path("mutants", f"{path}.meta") for path in modules}
    if metas != set(Path("mutants").rglob("*.meta")):
        shutil.rmtree("mutants", ignore_errors=True)  # mutmut takes what it copied for mutated
    copy_src_dir()
    mutmut.create_mutants(processes)
    return sorted(name for meta in metas for name in _exit_codes(meta))


def judge(made: Sequence[Mutant]) -> int:
    """Print each survivor that is not listed, each timeout, and the score of each place."""
    listed = {(each["function"], each["old"], each["new"]) for each in equivalents()}
    passed = set()
    totals, caught, unreached = Counter[str](), Counter[str](), Counter[str]()
    for mutant in made:
        key = (mutant.function, mutant.old, mutant.new)
        is_caught = mutant.status in CAUGHT
        if mutant.status == "not checked" or mutant.is_wording or (key in listed and not is_caught):
            passed.add(key)
            continue
        places = (mutant.module, mutant.module.partition(".")[0])
        if mutant.status == "no tests" and places[1] == NEEDS_SERVERS:
            unreached.update(places)
            continue
        totals.update(places)
        caught.update(places if is_caught else ())
        if not is_caught or mutant.status == "timeout":
            print(f"{mutant.status} {mutant.name}\n- {mutant.old}\n+ {mutant.new}")
    for place in sorted(totals | unreached):
        share, error = _share(caught[place], totals[place])
        print(
            f"{share:7.1%} ± {error:4.1%}  {caught[place]:4} of {totals[place]:4}  {place}"
            f"{f', {unreached[place]} not reached' if unreached[place] else ''}"
        )
    functions = {mutant.function for mutant in made}
    stale = {key for key in listed - passed if key[0] in functions}
    for function, old, new in sorted(stale):
        print(f"listed as equivalent, and caught or gone: {function}\n- {old}\n+ {new}")
    return int(bool(stale) or any(caught[it] < least * totals[it] for it, least in LEAST.items()))


def _share(part: int, total: int) -> tuple[float, float]:
    """The share of a total, and twice its standard error: of a sample, the 95 % interval."""
    share = part / (total or 1)
    return share, 2 * sqrt(share * (1 - share) / (total or 1))


def equivalents() -> list[dict[str, str]]:
    """The mutants that change nothing anybody promises, with the reason."""
    found: list[dict[str, str]] = tomllib.loads(EQUIVALENT.read_text("utf-8")).get("mutant", [])
    return found


def mutants(chosen: Collection[str]) -> Iterator[Mutant]:
    """What mutmut has made, and what became of the chosen ones."""
    tried = set(chosen)
    for meta in sorted(Path("mutants/src").rglob("*.meta")):
        path = meta.relative_to("mutants").with_suffix("")
        for name, code in _exit_codes(meta).items():
            lines = get_diff_for_mutant(name, path=path).splitlines()[2:]
            old, new = (
                " ".join(line[1:].strip() for line in lines if line.startswith(sign))
                for sign in "-+"
            )
            status = status_by_exit_code[code if name in tried else None]
            yield Mutant(name, _function(name), old, new, status)


def _exit_codes(meta: Path) -> dict[str, int | None]:
    found: dict[str, int | None] = json.loads(meta.read_text())["exit_code_by_key"]
    return found


def _function(name: str) -> str:
    """A mutant's place for people, such as ``voltpay_core.breaker:Breaker.after``."""
    found = _ID.search(name)
    assert found is not None, name
    place = ".".join(part for part in (found["type"], found["function"]) if part)
    return f"{name[: found.start()]}:{place}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
