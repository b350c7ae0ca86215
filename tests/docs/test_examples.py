"""The examples stay small: a service is a few lines on the library's front door."""

from pathlib import Path

import pytest
from tests.harness.stack.places import ROOT

EXAMPLES = sorted(ROOT.glob("examples/*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_small_and_uses_the_front_door(path: Path) -> None:
    """Each example has at most forty lines and imports nothing below the curated packages."""
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 40
    modules = {line.split()[1] for line in lines if line.startswith("from voltpay")}
    front = {"voltpay_core", "voltpay_adapters", "voltpay_adapters.kafka"}
    assert modules <= front | {"voltpay_adapters.postgres", "voltpay_adapters.local"}
