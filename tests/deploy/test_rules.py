"""The rules of Prometheus: each alert rings when it should, only then, and has its runbook."""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from tests.deploy.test_chart import chart
from tests.harness.documents import headings
from tests.harness.rules import ALERTS, FOLDER, OF_OTHERS, RECORDED, RULES, exposed, groups, metrics
from tests.harness.stack.available import available
from tests.harness.stack.places import ROOT, monitor

from voltpay_core.errors import DEAD_LETTER_CODES

RUNBOOKS = ROOT / "docs/runbooks.md"
PARTS = ["Means", "Look at", "Do", "Never"]

UP = 'up{job="voltpay-writer",instance="1"}'
UP_TOO = 'up{job="voltpay-writer",instance="2"}'
WATCHED = 'up{job="voltpay-observer"}'
LOOKED = "voltpay_observed_timestamp_seconds"
LAG, LAG_TOO = (f'voltpay_group_lag_records{{partition="{number}"}}' for number in (0, 1))
OFFSET, OFFSET_TOO = (f'voltpay_group_offset{{partition="{number}"}}' for number in (0, 1))
DEAD = 'voltpay_records_total{outcome="dead_letter"}'
REJECTED = 'voltpay_dead_letters_total{code="refused-by-database"}'
MONTHS = 'voltpay_months_ahead{table="payment_core"}'
CHECK = 'voltpay_check{name="topics"}'
TAKE_OVERS = 'voltpay_take_overs_total{instance="1"}'
STARTED = 'process_start_time_seconds{job="voltpay-writer",instance="1"}'
RESTARTED = (
    'kube_pod_container_status_restarts_total{container="writer",pod="eu-voltpay-writer-5-x"}'
)
MEMORY = 'process_resident_memory_bytes{job="voltpay-writer",instance="1"}'
WRITE = 'voltpay_step_seconds_bucket{step="write",le="%s"}'
AGE = 'voltpay_batch_oldest_record_age_seconds_bucket{le="%s"}'
IDLE = 'pg_stat_activity_max_tx_duration{datname="voltpay",state="idle in transaction"}'
ACTIVE = 'pg_stat_activity_max_tx_duration{datname="voltpay",state="active"}'
KILLED = 'node_vmstat_oom_kill{instance="db"}'

Series = Mapping[str, str | None]
BUSY: Series = {
    **dict.fromkeys((UP, UP_TOO, WATCHED, CHECK), "1+0x9999"),
    LOOKED: "0+15x9999",
    "voltpay_outage": "0+0x9999",
    "voltpay_unowned_partitions": "0+0x9999",
    "voltpay_outbox_oldest_seconds": "2+0x9999",
    "voltpay_breaker_refusals": "3+0x9999",
    **dict.fromkeys((LAG, LAG_TOO), "50 60 0 40+0x9999"),
    **dict.fromkeys((OFFSET, OFFSET_TOO), "0+1500x9999"),
    'voltpay_records_total{outcome="written"}': "0+3000x9999",
    DEAD: "0+20x9999",
    REJECTED: "7+0x9999",
    MONTHS: "2+0x9999",
    TAKE_OVERS: "0 4 8+0x9999",
    STARTED: "1000+0x9999",
    RESTARTED: "2+0x9999",
    MEMORY: "100000000+0x9999",
    WRITE % "0.1": "0+900x9999",
    WRITE % "1": "0+995x9999",
    WRITE % "2.5": "0+1000x9999",
    WRITE % "+Inf": "0+1000x9999",
    AGE % "60": "0+995x9999",
    AGE % "120": "0+1000x9999",
    AGE % "+Inf": "0+1000x9999",
    ACTIVE: "9000+0x9999",
    IDLE: "0+0x9999",
    KILLED: "4+0x9999",
}
"""Two writers under load; each series has a sample every 15 seconds."""
SELDOM = {LOOKED: "0+240x9999", LAG: "0+0x9999", LAG_TOO: "0+0x9999"}
"""What is different where a sample comes every four minutes."""

# Each line is an alert, series that make it ring after 20 minutes, and series that just do not.
CASES: list[tuple[str, Series, Series]] = [
    ("VoltpayNoWriter", {UP: "1+0x60 0+0x99", UP_TOO: "0+0x99"}, {UP_TOO: "0+0x99"}),
    (
        "VoltpayNoWriter",
        {UP: None, UP_TOO: None},
        {UP: "1+0x75 0+0x99", UP_TOO: "1+0x75 0+0x99"},
    ),
    ("VoltpayOutage", {"voltpay_outage": "0+0x60 1+0x99"}, {"voltpay_outage": "0+0x73 1+0x99"}),
    (
        "VoltpayNoThroughput",
        {OFFSET: "0+1500x60 90000+0x99", OFFSET_TOO: "0+1500x60 90000+0x99"},
        {OFFSET: "0+1500x60 90000+0x99"},
    ),
    (
        "VoltpayNoThroughput",
        {OFFSET: "0+0x99", OFFSET_TOO: "0+0x99", LAG: "0+0x60 1+0x99", LAG_TOO: "0+0x99"},
        {OFFSET: "0+0x99", OFFSET_TOO: "0+0x99", LAG: "0+0x99", LAG_TOO: "0+0x75 1 0 1+0x99"},
    ),
    (
        "VoltpayUnownedPartitions",
        {"voltpay_unowned_partitions": "0+0x60 3+0x99"},
        {"voltpay_unowned_partitions": "0+0x73 3+0x99"},
    ),
    (
        "VoltpayPartitionWithoutProgress",
        {OFFSET_TOO: "0+1500x20 30000+0x99"},
        {OFFSET_TOO: "0+1500x20 30000+0x99", LAG_TOO: "40+0x60 0 40+0x99"},
    ),
    (
        "VoltpayOutboxNotDrained",
        {"voltpay_outbox_oldest_seconds": "0+0x20 0+15x99"},
        {"voltpay_outbox_oldest_seconds": "0+0x60 0+15x99"},
    ),
    (
        "VoltpayRestartLoop",
        {STARTED: "1000+0x30 2000+0x10 3000+0x10 4000+0x99"},
        {STARTED: "1000+0x10 2000+0x20 3000+0x10 4000+0x99"},
    ),
    (
        "VoltpayRestartLoop",
        {RESTARTED: "2+0x40 3+0x5 4+0x5 5+0x99"},
        {RESTARTED: "2+0x40 3+0x5 4+0x99"},
    ),
    (
        "VoltpayBreakerNear",
        {"voltpay_breaker_refusals": "0+0x70 11 11 0+0x99"},
        {"voltpay_breaker_refusals": "10+0x99"},
    ),
    ("VoltpayErrorRate", {DEAD: "0+40x99"}, {DEAD: "0+20x65 1400+90x99"}),
    ("VoltpayDatabaseRejects", {REJECTED: "7+0x60 8+0x99"}, {REJECTED: "7+0x10 8+0x99"}),
    (
        "VoltpayLagGrows",
        {LAG: "40+0x20 40+10x99", LAG_TOO: "0 9 3 0 5 0 8+0x99"},
        {LAG: "40+0x48 40+10x99"},
    ),
    ("VoltpayLatency", {AGE % "60": "0+980x99"}, {AGE % "60": "0+1000x65 65000+800x99"}),
    (
        "VoltpayLowThroughput",
        {OFFSET: "0+2400x2500 6000000+240x99", OFFSET_TOO: "0+2400x2500 6000000+240x99"},
        {OFFSET: "0+2400x2500 6000000+240x99"},
    ),
    (
        "VoltpayLowThroughput",
        {OFFSET: "0+2400x2500 6000000+240x99", OFFSET_TOO: "0+0x9999"},
        {OFFSET: "0+20x2500 50000+0x99", OFFSET_TOO: "0+0x9999"},
    ),
    ("VoltpayTakeOverStorm", {TAKE_OVERS: "0+2x99"}, {TAKE_OVERS: "0+0x60 9+0x99"}),
    ("VoltpayNoObserver", {WATCHED: "1+0x40 0+0x99"}, {WATCHED: "1+0x65 0+0x99"}),
    ("VoltpayNoObserver", {WATCHED: None}, {WATCHED: "0+0x62 1+0x99"}),
    ("VoltpayNoObserver", {LOOKED: "0+15x40 600+0x99"}, {LOOKED: "0+15x60 900+0x99"}),
    ("VoltpayCheckFails", {CHECK: "1+0x40 0+0x99"}, {CHECK: "1+0x65 0+0x99"}),
    ("VoltpayMonthsAhead", {MONTHS: "2+0x2330 1+0x999"}, {MONTHS: "2+0x2400 1+0x999"}),
    ("VoltpaySlowDatabase", {WRITE % "1": "0+980x99"}, {WRITE % "1": "0+1000x65 65000+800x99"}),
    ("VoltpayIdleTransaction", {IDLE: "0+0x60 0+15x99"}, {IDLE: "0+0x76 0+15x99"}),
    ("VoltpayMemory", {MEMORY: "1+0x40 220000000+0x99"}, {MEMORY: "210000000+0x99"}),
    ("VoltpayOutOfMemory", {KILLED: "4+0x60 5+0x99"}, {KILLED: "4+0x10 5+0x99"}),
]
AFTER_A_WEEK = {"VoltpayLowThroughput", "VoltpayMonthsAhead"}
ringing_cases = [
    pytest.param(
        alert, series, expected, id=f"{alert}-{number}-{'rings' if expected else 'silent'}"
    )
    for number, (alert, rings, silent) in enumerate(CASES)
    for series, expected in ((rings, [alert]), (silent, []))
]


@pytest.fixture(scope="session")
def promtool() -> str:
    return available(lambda: monitor("promtool"))


def run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, check=False, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("alert", "series", "ringing"), ringing_cases)
def test_an_alert_rings_when_it_should(
    promtool: str, alert: str, series: Series, ringing: list[str], tmp_path: Path
) -> None:
    """This alert alone rings, and it does not where its condition just fails to hold."""
    seldom = alert in AFTER_A_WEEK
    given = {**BUSY, **(SELDOM if seldom else {}), **series}
    interval, evaluated, at = ("4m", "30m", "170h") if seldom else ("15s", "15s", "20m")
    case = {
        "interval": interval,
        "input_series": [
            {"series": name, "values": values} for name, values in given.items() if values
        ],
        "promql_expr_test": [
            {
                "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                "eval_time": at,
                "exp_samples": [
                    {"labels": f'{{alertname="{name}"}}', "value": 1} for name in ringing
                ],
            }
        ],
    }
    path = tmp_path / "case.yml"
    tests = {
        "rule_files": [str(RULES)],
        "evaluation_interval": evaluated,
        "group_eval_order": [group["name"] for group in groups()],
        "tests": [case],
    }
    path.write_text(yaml.safe_dump(tests), "utf-8")
    run(promtool, "test", "rules", path)


def test_no_alert_is_forgotten() -> None:
    """Each alert has a case."""
    assert {alert for alert, _, _ in CASES} == set(ALERTS)


def test_prometheus_and_alertmanager_accept_the_files(promtool: str) -> None:
    """The rules have no lint, and both configurations are valid."""
    run(promtool, "check", "rules", "--lint=all", "--lint-fatal", RULES)
    run(promtool, "check", "config", "--lint-fatal", FOLDER / "prometheus.yml")
    run(available(lambda: monitor("amtool")), "check-config", FOLDER / "alertmanager.yml")


@pytest.mark.parametrize("alert", ALERTS)
def test_an_alert_leads_to_its_runbook(alert: str) -> None:
    """An alert has a severity and a summary of one line, and its section of the runbooks."""
    rule = ALERTS[alert]
    assert rule["labels"] == {"severity": "critical"} or rule["labels"] == {"severity": "warning"}
    assert set(rule["annotations"]) == {"summary", "runbook_url"}
    assert "\n" not in rule["annotations"]["summary"]
    page, section = rule["annotations"]["runbook_url"].split("#")
    assert page.endswith("/runbooks.html")
    assert section == alert.lower()
    assert section in headings(RUNBOOKS)


def test_a_runbook_says_what_to_do() -> None:
    """Each section is an alert's, in the order of the rules, and has its four parts."""
    _, *sections = RUNBOOKS.read_text("utf-8").split("\n## ")
    assert [section.split("\n")[0] for section in sections] == list(ALERTS)
    for section in sections:
        name, text = section.split("\n", 1)
        assert re.findall(r"^\*\*(.+)\.\*\*", text, re.MULTILINE) == PARTS, name
        critical = ALERTS[name]["labels"]["severity"] == "critical"
        assert text.startswith("\n**Means.** Critical. ") == critical, name


def test_every_metric_exists() -> None:
    """What rules name is exposed by the writer or the observer, or recorded by another rule."""
    known = exposed() | set(RECORDED)
    named = {
        name for rule in [*ALERTS.values(), *RECORDED.values()] for name in metrics(rule["expr"])
    }
    assert named
    assert {name for name in named - known if not OF_OTHERS.match(name)} == set()


def test_the_constants_are_those_of_others() -> None:
    """The limit of memory is the chart's, and the code of dead letters is the program's."""
    limit = chart().merge_values({})["resources"]["limits"]["memory"]
    assert limit == f"{int(ALERTS['VoltpayMemory']['expr'].split()[-1]) // 2**20}Mi"
    (code,) = re.findall(r'code="([^"]+)"', ALERTS["VoltpayDatabaseRejects"]["expr"])
    assert code in DEAD_LETTER_CODES
