"""Measures the writer on real servers, tells the results, and compares them with older ones.

python -m bench                            minutes: the short form
python -m bench --long                     an hour or two
python -m bench compare OLD.json NEW.json  ratios; exit code 1 if something regressed
python -m bench scale RESULTS.json         simulates more machines, from the results
python -m bench document RESULTS.json      puts results and simulation into the documentation
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from tests.harness.stack.places import ROOT, MissingError
from tests.harness.stack.processes import StackError

from bench.comparing import changes, different_machines
from bench.figures import Results
from bench.plan import LONG, SHORT, clients
from bench.report import insert, report
from bench.scaling import scaling

PAGE = ROOT / "docs/explanation/performance.md"
SCALING_PAGE = ROOT / "docs/explanation/scaling.md"
PICTURES = ROOT / "docs/explanation/performance"


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--long", action="store_true", help="measure everything, at length")
    parser.add_argument("--output", type=Path, default=Path("bench-results"), help="a folder")
    commands = parser.add_subparsers(dest="command")
    compare = commands.add_parser("compare", help="compare two results")
    compare.add_argument("old", type=Path)
    compare.add_argument("new", type=Path)
    compare.add_argument("--tolerance", type=float, default=0.1, help="0.1: a tenth")
    scale = commands.add_parser("scale", help="simulate more machines")
    scale.add_argument("results", type=Path)
    document = commands.add_parser("document", help="put results into the documentation")
    document.add_argument("results", type=Path)
    given = parser.parse_args()
    if given.command == "compare":
        return _compare(load(given.old), load(given.new), given.tolerance)
    if given.command == "scale":
        return _scale(given.results)
    if given.command == "document":
        return _document(given.results)
    return _measure(given.output, long=given.long)


def load(path: Path) -> Results:
    """Read results."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(results: Results, path: Path) -> None:
    """Write results, so that `load` reads them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(results) + b"\n")


def _measure(folder: Path, *, long: bool) -> int:
    """Measure, and write results and report; what is found before an interruption is kept."""
    from bench.machine import describe  # noqa: PLC0415 - comparing needs none of these
    from bench.measuring import Measurement  # noqa: PLC0415
    from bench.stack import started  # noqa: PLC0415

    plan, begun = LONG if long else SHORT, time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - begun:7.0f} s  {line}", file=sys.stderr, flush=True)

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # servers are stopped then, too
    try:
        with started() as stack:
            now = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
            results = Results(now, plan.form, describe(stack))
            path = folder / "results.json"
            keep = Measurement(
                *(stack, plan, clients(), results), save=lambda found: save(found, path), say=say
            )
            results = keep.everything()
    except KeyboardInterrupt:
        say(f"interrupted; what was found until then, if anything, is in {folder}")
        return 130
    except (MissingError, StackError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    text = report(results, _draw(results, folder))
    (folder / "report.md").write_text(f"# The speed of the writer\n\n{text}\n", "utf-8")
    print(text)
    say(f"the report is {folder / 'report.md'}")
    return 0


def _compare(old: Results, new: Results, tolerance: float) -> int:
    """Print each figure that both have; 1 if any regressed."""
    for difference in different_machines(old, new):
        print(f"not the same machine: {difference}", file=sys.stderr)
    found = changes(old, new)
    for change in found:
        print(change.told(tolerance))
    return int(any(change.is_regression(tolerance) for change in found))


def _scale(path: Path) -> int:
    """Print what is simulated; 1 if the results lack the costs."""
    if text := scaling(load(path)):
        print(text)
        return 0
    print("bench: the results lack the writer with confluent and 1 worker", file=sys.stderr)
    return 1


def _document(path: Path) -> int:
    """Write tables and pictures into the documentation, and the results beside them."""
    results = load(path)
    shutil.rmtree(PICTURES, ignore_errors=True)
    drawn = {title: f"{PICTURES.name}/{name}" for title, name in _draw(results, PICTURES).items()}
    insert(PAGE, report(results, drawn))
    if text := scaling(results):
        insert(SCALING_PAGE, text)
    save(results, PICTURES / "results.json")
    return 0


def _draw(results: Results, folder: Path) -> dict[str, str]:
    from bench.plots import draw  # noqa: PLC0415 - comparing does not need matplotlib

    return draw(results, folder)


if __name__ == "__main__":
    sys.exit(main())
