"""The dashboards of Grafana: they are what Python makes, and name what exists."""

import json
import runpy

from tests.harness.rules import (
    DASHBOARDS,
    OF_OTHERS,
    RECORDED,
    exposed,
    metrics,
    panels,
    queries,
)

GENERATOR = DASHBOARDS / "dashboards.py"


def test_the_files_are_those_of_python() -> None:
    """Each committed dashboard is what dashboards.py makes today."""
    made = runpy.run_path(str(GENERATOR))["dashboards"]()
    assert {path.name: path.read_text("utf-8") for path in DASHBOARDS.glob("*.json")} == made


def test_dashboards_are_of_one_form() -> None:
    """Each has a name of its own, and is for the Grafana that the generator was made for."""
    boards = [json.loads(path.read_text("utf-8")) for path in DASHBOARDS.glob("*.json")]
    assert len({board["uid"] for board in boards}) == len(boards) > 0
    assert {board["schemaVersion"] for board in boards} == {41}


def test_every_panel_is_complete() -> None:
    """Each has a title of its own, a unit and a place, and reads the chosen Prometheus."""
    names = [name for name, _ in panels()]
    assert len(names) == len(set(names))
    places = set()
    for name, panel in panels():
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert panel["fieldConfig"]["defaults"]["unit"]
        assert all(queries(panel))
        places.add((name.split(":")[0], panel["gridPos"]["x"], panel["gridPos"]["y"]))
    assert len(places) == len(names)


def test_every_metric_exists() -> None:
    """What panels ask for is exposed by the writer or the observer, or recorded by a rule."""
    asked = [query for _, panel in panels() for query in queries(panel)]
    named = {metric for query in asked for metric in metrics(query)}
    known = exposed() | set(RECORDED)
    assert {each for each in named if not OF_OTHERS.match(each)} <= known
