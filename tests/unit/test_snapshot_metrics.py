"""Snapshots as metrics: names, labels, values, and what is left out."""

from typing import Any

import pytest
from hypothesis import given
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.snapshots import NOW, group, groups, snapshot, store

from voltpay_adapters.findings import Finding
from voltpay_adapters.snapshot_metrics import exposition
from voltpay_adapters.snapshots import GroupState, Member, Snapshot
from voltpay_core.errors import Unavailable

AWAY = Unavailable("away")
LABELS = {
    "check": "name",
    "group_lag_records": "partition",
    "group_offset": "partition",
    "months_ahead": "table",
}
GROUP = {"group_lag_records", "group_offset", "group_members", "unowned_partitions"}
STORE = {
    *("outbox_rows", "outbox_oldest_seconds", "months_ahead", "oldest_claim_seconds"),
    "clock_difference_seconds",
}
ALWAYS = {"check", "observed_timestamp_seconds"}


def samples(found: Snapshot) -> dict[str, dict[str, float]]:
    """The values of each metric by its one label, as Prometheus would read them."""
    read: dict[str, dict[str, float]] = {}
    for family in text_string_to_metric_families(exposition(found).decode()):
        assert family.type == "gauge"
        assert family.documentation
        name = family.name.removeprefix("voltpay_")
        assert name != family.name
        for sample in family.samples:
            label = LABELS.get(name)
            assert set(sample.labels) == ({label} if label else set())
            read.setdefault(name, {})[sample.labels.get(label or "", "")] = sample.value
    return read


@given(found=groups)
def test_the_group_is_exposed_as_it_is(found: GroupState) -> None:
    """Each partition has its lag and its offset; members and unowned partitions are counted."""
    read = samples(snapshot(group=found))
    assert read["group_lag_records"] == {str(n): lag for n, lag in found.lag.items()}
    assert read["group_offset"] == {str(n): done for n, done in found.positions.items()}
    assert read["group_members"] == {"": len(found.members)}
    assert read["unowned_partitions"] == {"": len(found.unowned)}


def test_everything_has_its_metric() -> None:
    """Whatever a snapshot holds is exposed, with its own value."""
    read = samples(
        snapshot(
            group=group({0: 7}, Member("a", "h", (0,))),
            store=store(
                outbox_rows=2,
                outbox_oldest=3.5,
                oldest_claim=4.5,
                months_ahead={"payment_core": -1, "payment_notes": 2},
                clock_difference=0.25,
            ),
            dead_letters=9,
        )
    )
    assert read == {
        "observed_timestamp_seconds": {"": NOW.timestamp()},
        "group_lag_records": {"0": 7},
        "group_offset": {"0": 100},
        "group_members": {"": 1},
        "unowned_partitions": {"": 0},
        "outbox_rows": {"": 2},
        "outbox_oldest_seconds": {"": 3.5},
        "oldest_claim_seconds": {"": 4.5},
        "months_ahead": {"payment_core": -1, "payment_notes": 2},
        "clock_difference_seconds": {"": 0.25},
        "dead_letters_retained": {"": 9},
        "check": dict.fromkeys(("broker", "database", "group", "store", "dead-letters"), 1),
    }


@pytest.mark.parametrize(
    ("given_", "name", "missing"),
    [
        ({"group": AWAY}, "group", GROUP),
        ({"store": AWAY}, "store", STORE),
        ({"dead_letters": AWAY}, "dead-letters", {"dead_letters_retained"}),
    ],
)
def test_a_part_that_failed_has_no_metrics(
    given_: dict[str, Any], name: str, missing: set[str]
) -> None:
    """The metrics of the part are absent, its check is 0, and all others are there."""
    read = samples(snapshot(**given_))
    assert read.keys() == (GROUP | STORE | ALWAYS | {"dead_letters_retained"}) - missing
    assert [check for check, value in read["check"].items() if value == 0] == [name]


def test_a_part_that_does_not_exist_has_no_check() -> None:
    """Where payments come from a file there is no group, and that is no failure."""
    read = samples(snapshot(group=None))
    assert read.keys() & GROUP == set()
    assert "group" not in read["check"]


def test_a_check_of_several_answers_is_ok_if_all_are() -> None:
    """One failure among the findings of a name makes it 0."""
    checks = (Finding("topics", "well"), Finding("topics", AWAY), Finding("topics", "well"))
    assert samples(snapshot(checks=checks))["check"]["topics"] == 0


def test_no_words_of_a_failure_are_exposed() -> None:
    """Only names and numbers leave the process: the text of a failure stays in the log."""
    hush = Unavailable("hush, 4711")
    told = exposition(snapshot(group=hush, store=hush, checks=(Finding("broker", hush),)))
    assert b"hush" not in told
    assert b"4711" not in told
