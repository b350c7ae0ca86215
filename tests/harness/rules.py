"""The rules of deploy/prometheus, and what they and the dashboards name."""

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import yaml
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.snapshots import snapshot
from tests.harness.stack.places import ROOT

from voltpay_adapters.metrics import WriterMetrics
from voltpay_adapters.snapshot_metrics import exposition
from voltpay_core.codec import Topics

FOLDER = ROOT / "deploy/prometheus"
RULES = FOLDER / "rules.yml"
DASHBOARDS = ROOT / "deploy/grafana"

OF_OTHERS = re.compile(r"(up|node_|pg_|kube_|ALERTS)")
"""The metrics that neither the writer nor the observer has."""

_NAME = re.compile(r"(?<![\w:\"])(?:voltpay_|process_|node_|pg_|kube_|namespace\w*:)[\w:]+")


@cache
def groups() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = yaml.safe_load(RULES.read_text("utf-8"))["groups"]
    return found


def rules(kind: str) -> Iterator[Mapping[str, Any]]:
    """The rules of a kind: alert or record."""
    return (rule for group in groups() for rule in group["rules"] if kind in rule)


ALERTS = {rule["alert"]: rule for rule in rules("alert")}
RECORDED = {rule["record"]: rule for rule in rules("record")}


def panels() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Each panel with a name of its own, which begins with the name of its file."""
    for path in sorted(DASHBOARDS.glob("*.json")):
        for panel in json.loads(path.read_text("utf-8"))["panels"]:
            if panel["type"] != "row":
                yield f"{path.stem}: {panel['title']}", panel


def queries(panel: Mapping[str, Any]) -> list[str]:
    """What a panel asks Prometheus for."""
    return [target["expr"] for target in panel["targets"]]


def metrics(expression: str) -> set[str]:
    """The metrics that an expression names, without labels."""
    return set(_NAME.findall(re.sub(r"\b(by|on|without) \([^)]*\)", "", expression)))


def operands(expression: str) -> list[str]:
    """What an expression compares and combines, except numbers and what is not complete."""
    parts = re.split(r"\s(?:==|[<>]|and(?: on \([^)]*\))?|or)\s", expression)
    named = [" ".join(part.split()) for part in parts if re.search("[a-z]", part)]
    return [part for part in named if part.count("(") == part.count(")")]


def exposed() -> set[str]:
    """The samples that a writer and an observer expose."""
    writer = WriterMetrics(Topics(), "group").exposition()
    return {
        name
        for text in (writer, exposition(snapshot()))
        for family in text_string_to_metric_families(text.decode())
        for name in [family.name, *(sample.name for sample in family.samples)]
    }
