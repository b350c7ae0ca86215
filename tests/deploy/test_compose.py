"""What the Compose file names exists: services, ports, files, stages, commands and settings."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.harness.cli import parse
from tests.harness.images import DOCKERFILE, run
from tests.harness.stack.available import available
from tests.harness.stack.places import ROOT, monitor

from voltpay_cli.settings.loading import load

COMPOSE = ROOT / "compose.yaml"
PROMETHEUS = ROOT / "deploy/prometheus/compose.yml"
GRAFANA = ROOT / "deploy/grafana/datasource.yml"
DOCKER_COMPOSE = Path(sys.executable).with_name("docker-compose")


@pytest.fixture(scope="session")
def services() -> dict[str, Any]:
    """All services, as Docker Compose itself reads the file."""
    found: dict[str, Any] = json.loads(
        run(DOCKER_COMPOSE, "--file", COMPOSE, "config", "--format", "json")
    )
    return dict(found["services"])


@pytest.fixture
def ours(services: dict[str, Any]) -> dict[str, Any]:
    """The services that run the program."""
    return {name: told for name, told in services.items() if "voltpay-" in told.get("image", "")}


def test_what_is_built_exists(services: dict[str, Any]) -> None:
    """Each build has its context, its Dockerfile, and in it the stage that it names."""
    stages = set(re.findall(r"^FROM .* AS (\w+)$", DOCKERFILE.read_text(), re.MULTILINE))
    builds = [told["build"] for told in services.values() if "build" in told]
    assert {build["target"] for build in builds if "target" in build} == {"writer", "migrations"}
    for build in builds:
        path = Path(build["context"], build["dockerfile"])
        assert path.is_file(), path
        assert build.get("target") in {None, *stages}


def test_what_is_mounted_exists(services: dict[str, Any]) -> None:
    """Each file or folder of the project that a service gets is there."""
    for told in services.values():
        for volume in told.get("volumes", []):
            assert volume["type"] != "bind" or Path(volume["source"]).exists(), volume


def test_the_program_runs_as_in_production(ours: dict[str, Any]) -> None:
    """Each of its commands exists, with a read-only root and without a capability."""
    assert set(ours) >= {"writer", "observer", "bootstrap", "migrations", "topics"}
    for told in ours.values():
        if told["command"]:  # otherwise that of the image
            parse(["voltpay", *told["command"]])
        assert told["read_only"] is True
        assert told["cap_drop"] == ["ALL"]


def test_the_settings_lead_to_services(
    ours: dict[str, Any], services: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each variable is a setting, and each address in it a service that listens on that port."""
    listening = {
        (name, port)
        for name, told in services.items()
        for port in re.findall(r"//:(\d+)", told.get("environment", {}).get("KAFKA_LISTENERS", ""))
    } | {("postgres", "5432")}
    for told in ours.values():
        for variable, value in told["environment"].items():
            monkeypatch.setenv(variable, value)
            assert set(re.findall(r"([\w-]+):(\d+)", value)) <= listening, variable
        assert not load({}).warnings


def test_prometheus_and_grafana_reach_what_listens(services: dict[str, Any]) -> None:
    """Prometheus scrapes each service that serves metrics on its port, and answers Grafana."""
    serving = {
        (name, command[command.index("--listen") + 1].rpartition(":")[2])
        for name, told in services.items()
        if "--listen" in (command := told["command"] or [])
    }
    assert {name for name, _ in serving} == {"writer", "observer"}
    text = PROMETHEUS.read_text("utf-8")
    found = re.findall(r"names: \[(\w+)\], type: A, port: (\d+)", text)
    assert {*found, *re.findall(r'"(\w+):(\d+)"', text)} == serving
    asked = re.findall(r"http://(\w+):(\d+)", GRAFANA.read_text("utf-8"))
    ports = [port["target"] for port in services["prometheus"]["ports"]]
    assert asked == [("prometheus", str(port)) for port in ports]


def test_prometheus_reads_its_settings(services: dict[str, Any]) -> None:
    """Prometheus is started with the file that it accepts, and finds the rules beside it."""
    prometheus = services["prometheus"]
    (folder,) = prometheus["volumes"]
    assert Path(folder["source"]) == PROMETHEUS.parent
    assert f"--config.file={folder['target']}/{PROMETHEUS.name}" in prometheus["command"]
    promtool = available(lambda: monitor("promtool"))
    run(promtool, "check", "config", PROMETHEUS)


def test_the_examples_reach_what_is_published(services: dict[str, Any]) -> None:
    """The addresses of this machine in the comment are those that services publish."""
    shown = set(re.findall(r"^#.*?localhost:(\d+)", COMPOSE.read_text(), re.MULTILINE))
    published = {port["published"] for told in services.values() for port in told.get("ports", [])}
    assert shown <= published
