"""The examples that need no server."""

import runpy

import pytest
from tests.stack.places import ROOT


def test_the_writer_is_embedded(capsys: pytest.CaptureFixture[str]) -> None:
    """The embedded writer makes one payment and two events of a payment that comes twice."""
    runpy.run_path(str(ROOT / "examples/embed.py"), run_name="__main__")
    total, read, email = capsys.readouterr().out.splitlines()
    assert "written=1, duplicates=1, dead_letters=0" in total
    assert read.startswith("payment_read_topic {")
    assert email.startswith("payment_email {")
