"""The observer's loop: what it keeps, what it logs, and when its probes fail."""

import json
from collections.abc import Iterator
from threading import Event

import pytest
from attrs import define
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.snapshots import group, snapshot

from voltpay_adapters.probes import STALLED
from voltpay_adapters.snapshots import Snapshot
from voltpay_cli.http_server import Response
from voltpay_cli.observing import Observation
from voltpay_core.errors import Unavailable

EVERY = 15.0
ILL = snapshot(group=Unavailable("away"), store=Unavailable("away, too", code="no-schema"))


@define
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now


def observing(*snapshots: Snapshot, clock: Clock | None = None) -> Observation:
    looks = iter(snapshots)
    return Observation(lambda: next(looks), EVERY, clock or Clock())


def reason(answer: Response) -> str | None:
    told: str | None = json.loads(answer.body).get("reason")
    assert answer.status == (503 if told else 200)
    return told


def test_it_is_ready_once_it_has_looked() -> None:
    """Before the first snapshot it is not ready; after it, it is, also in an outage."""
    observation = observing(ILL)
    assert reason(observation.readyz()) == "the first snapshot is not taken yet"
    assert observation.metrics().body == b""
    observation.tick()
    assert reason(observation.readyz()) is None


def test_the_last_snapshot_is_served() -> None:
    """Metrics are those of the last look, not of an earlier one."""
    observation = observing(snapshot(group=group({0: 5})), snapshot(group=group({0: 3})))
    observation.tick()
    observation.tick()
    families = text_string_to_metric_families(observation.metrics().body.decode())
    found = {sample.name: sample.value for family in families for sample in family.samples}
    assert found["voltpay_group_lag_records"] == 3


def test_it_is_alive_as_long_as_it_looks() -> None:
    """Liveness fails when no look has ended for two minutes beside the pause, and heals."""
    clock = Clock()
    observation = observing(ILL, ILL, clock=clock)
    for _ in range(2):
        clock.now += STALLED + EVERY
        assert reason(observation.livez()) is None
        clock.now += 1
        assert reason(observation.livez()) == "no snapshot for 136 s"
        observation.tick()
        assert reason(observation.livez()) is None


def test_a_failure_is_logged_when_it_begins_and_ends(caplog: pytest.LogCaptureFixture) -> None:
    """A check that stays as it is writes no line; the line of a failure says what to do."""
    observation = observing(snapshot(), ILL, ILL, snapshot(), ILL)
    logged = []
    with caplog.at_level("INFO", "voltpay"):
        for _ in range(5):
            caplog.clear()
            observation.tick()
            logged.append([(record.levelname, record.getMessage()) for record in caplog.records])
    begins = [
        ("WARNING", "group: away"),
        ("WARNING", "store: away, too; voltpay db bootstrap, then voltpay db update"),
    ]
    ends = [("INFO", "group: ok again"), ("INFO", "store: ok again")]
    assert logged == [[], begins, [], ends, begins]


def test_it_looks_until_it_is_stopped() -> None:
    """The loop ends at its stop flag."""
    stop = Event()

    def looks() -> Iterator[Snapshot]:
        yield ILL
        stop.set()
        yield snapshot()

    found = looks()
    observation = Observation(lambda: next(found), 0.0)
    observation.run(stop)
    assert next(found, None) is None
