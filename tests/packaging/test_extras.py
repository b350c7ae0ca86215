"""What each extra brings: the wheel in environments that hold nothing else."""

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from tests.harness.stack.places import ROOT

UV = str(Path(sys.executable).with_name("uv"))
KAFKA, POSTGRES = "voltpay_adapters.kafka", "voltpay_adapters.postgres"
CONFLUENT = "voltpay_adapters.confluent"
METRICS = "voltpay_adapters.metrics"
TRACING = "voltpay_adapters.tracing"
BACKOFF = "threading, voltpay_adapters; voltpay_adapters.backoff(1, threading.Event())"


class Environments:
    """One for each extra, made when it is first used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = cache(self._install)
        run(UV, "build", "--quiet", "--wheel", "--out-dir", str(folder), str(ROOT))
        (self.wheel,) = folder.glob("*.whl")

    def _install(self, extra: str) -> Path:
        environment = self.folder / (extra or "core")
        run(UV, "venv", "--quiet", "--python", sys.executable, str(environment))
        wheel = f"voltpay{extra} @ {self.wheel.as_uri()}"
        locked = ("--constraint", str(ROOT / "requirements/cli.txt"))
        run(UV, "pip", "install", "--quiet", "--python", str(environment), *locked, wheel)
        return environment / "bin"

    def imports(self, extra: str, modules: str) -> "subprocess.CompletedProcess[str]":
        return call(str(self.place(extra) / "python"), "-I", "-c", f"import {modules}")


def call(*command: str, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, cwd=cwd, capture_output=True, check=False, text=True)


def run(*command: str, cwd: Path | None = None) -> str:
    ended = call(*command, cwd=cwd)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> Environments:
    return Environments(tmp_path_factory.mktemp("environments"))


def test_the_core_needs_three_packages(environments: Environments) -> None:
    """Without an extra, the wheel brings attrs, msgspec and python-ulid alone."""
    python = str(environments.place("") / "python")
    listed = run(UV, "pip", "list", "--quiet", "--format", "freeze", "--python", python)
    names = {line.split("==")[0].split(" @")[0] for line in listed.splitlines()}
    assert names - {"typing-extensions"} == {"voltpay", "attrs", "msgspec", "python-ulid"}


@pytest.mark.parametrize(
    ("extra", "modules"),
    [
        ("", "voltpay_core, voltpay_adapters, voltpay_adapters.local, voltpay_adapters.testing"),
        ("[kafka]", f"{KAFKA}, {BACKOFF}"),
        ("[confluent]", f"{CONFLUENT}, {BACKOFF}"),
        ("[postgres]", f"{POSTGRES}, {BACKOFF}"),
        ("[metrics]", f"{METRICS}, voltpay_adapters.probes"),
        ("[otel]", TRACING),
    ],
)
def test_an_extra_brings_what_its_adapters_import(
    environments: Environments, extra: str, modules: str
) -> None:
    """The front doors of the library import with no more than their extra."""
    ended = environments.imports(extra, modules)
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize(
    ("extra", "module", "hint"),
    [
        ("", KAFKA, f"{KAFKA} needs kafka-python: pip install 'voltpay[kafka]'"),
        ("[postgres]", KAFKA, f"{KAFKA} needs kafka-python: pip install 'voltpay[kafka]'"),
        ("", POSTGRES, f"{POSTGRES} needs pg8000: pip install 'voltpay[postgres]'"),
        ("[kafka]", POSTGRES, f"{POSTGRES} needs pg8000: pip install 'voltpay[postgres]'"),
        (
            "[kafka]",
            CONFLUENT,
            f"{CONFLUENT} needs confluent-kafka: pip install 'voltpay[confluent]'",
        ),
        ("", TRACING, f"{TRACING} needs opentelemetry-api: pip install 'voltpay[otel]'"),
        ("", METRICS, f"{METRICS} needs prometheus-client: pip install 'voltpay[metrics]'"),
        (
            "",
            BACKOFF,
            "backoff needs tenacity: pip install 'voltpay[kafka]' or 'voltpay[postgres]'",
        ),
    ],
)
def test_a_missing_extra_is_named(
    environments: Environments, extra: str, module: str, hint: str
) -> None:
    """An import without its extra raises one error, whose line is the command that helps."""
    stderr = environments.imports(extra, module).stderr
    assert stderr.splitlines()[-1] == f"ModuleNotFoundError: {hint}"
    assert stderr.count("Traceback") == 1


@pytest.mark.parametrize("extra", ["", "[kafka]"])
def test_the_program_names_its_extra(environments: Environments, extra: str) -> None:
    """Without its extra the program says so in one line and ends with the code of bad settings."""
    ended = call(str(environments.place(extra) / "voltpay"), "--help")
    assert (ended.returncode, ended.stdout) == (os.EX_CONFIG, "")
    assert ended.stderr == "voltpay: typer is missing: pip install 'voltpay[cli]'\n"


def test_the_extra_of_the_program_brings_everything(
    environments: Environments, tmp_path: Path
) -> None:
    """With its extra the program explains itself and shows the demo."""
    program = str(environments.place("[cli]") / "voltpay")
    assert "consume" in run(program, "--help")
    assert "written 0," in run(program, "demo", "here", cwd=tmp_path)
