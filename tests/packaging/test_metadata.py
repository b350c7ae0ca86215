"""What the distributions say of themselves, and which documents they bring."""

import email
import sys
import tarfile
import tomllib
from email.message import Message
from pathlib import Path
from subprocess import run

import pytest
from tests.harness.stack.places import ROOT

UV = str(Path(sys.executable).with_name("uv"))


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked source distribution."""
    folder = tmp_path_factory.mktemp("source")
    build = [UV, "build", "--quiet", "--sdist", "--out-dir", str(folder), str(ROOT)]
    run(build, check=True)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as packed:
        packed.extractall(folder, filter="data")
    return folder / archive.name.removesuffix(".tar.gz")


@pytest.fixture
def metadata(source: Path) -> Message:
    return email.message_from_string((source / "PKG-INFO").read_text("utf-8"))


def test_the_metadata_says_who_may_use_it(metadata: Message) -> None:
    """The licence is an SPDX expression, beside the author, the Pythons and the description."""
    assert metadata["License-Expression"] == "LicenseRef-Proprietary"
    assert metadata["Author"] == "Voltpay"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"


@pytest.mark.parametrize(
    "document", ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"]
)
def test_the_documents_come_along(source: Path, document: str) -> None:
    """The source distribution has the documents by which users report and contribute."""
    assert (source / document).read_text("utf-8") == (ROOT / document).read_text("utf-8")


def test_what_builds_the_wheel_is_locked() -> None:
    """The locked group is what [build-system] requires."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    assert project["dependency-groups"]["build"] == project["build-system"]["requires"]
