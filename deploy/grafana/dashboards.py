"""Writes the dashboards of Grafana, beside this file: ``python deploy/grafana/dashboards.py``."""

from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders.common import StackingConfig, VizLegendOptions
from grafana_foundation_sdk.builders.dashboard import (
    Dashboard,
    DatasourceVariable,
    QueryVariable,
    Row,
    ThresholdsConfig,
)
from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.builders.stat import Panel as Stat
from grafana_foundation_sdk.builders.timeseries import Panel as Graph
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    Threshold,
    ThresholdsMode,
    VariableRefresh,
)

PROMETHEUS = DataSourceRef(type_val="prometheus", uid="${datasource}")
OURS = 'namespace=~"$namespace"'
WRITER = f'job="voltpay-writer",{OURS}'

BUSY = 'mode!="idle"'

Query = tuple[str, str]
"""An expression and the legend of its series."""


def queries(*given: Query) -> list[Dataquery]:
    """The queries of a panel, called A, B and so on."""
    return [
        Dataquery().expr(expression).legend_format(legend).ref_id(chr(ord("A") + number))
        for number, (expression, legend) in enumerate(given)
    ]


def stat(title: str, unit: str, expression: str, *, bad: float | None = None) -> Stat:
    """A number; red from `bad` on."""
    steps = [Threshold(value=None, color="green")]
    if bad is not None:
        steps.append(Threshold(value=bad, color="red"))
    thresholds = ThresholdsConfig().mode(ThresholdsMode.ABSOLUTE).steps(steps)
    return (
        Stat()
        .title(title)
        .unit(unit)
        .datasource(PROMETHEUS)
        .thresholds(thresholds)
        .targets([*queries((expression, ""))])
        .height(4)
        .span(4)
    )


def graph(title: str, unit: str, *given: Query, stacked: bool = False) -> Graph:
    """Lines over time; a stack where they add up to a whole."""
    legend = (
        VizLegendOptions()
        .display_mode(LegendDisplayMode.LIST)
        .placement(LegendPlacement.BOTTOM)
        .show_legend(True)
    )
    panel = (
        Graph()
        .title(title)
        .unit(unit)
        .datasource(PROMETHEUS)
        .legend(legend)
        .targets([*queries(*given)])
        .min(0)
        .height(8)
        .span(8)
    )
    if stacked:
        panel.fill_opacity(30).stacking(StackingConfig().mode(StackingMode.NORMAL).group("A"))
    return panel


def per_second(counter: str, labels: str = "") -> str:
    """The rate of a counter."""
    return f"rate({counter}{{{labels}}}[$__rate_interval])"


def rates(counter: str, *by: str) -> Query:
    """The rate of a counter of all writers."""
    legend = " ".join(f"{{{{{label}}}}}" for label in by)
    return f"sum by ({', '.join(by)}) ({per_second(counter, OURS)})", legend


def quantiles(histogram: str, *by: str) -> list[Query]:
    """The median and what one of a hundred exceeds."""
    buckets, legend = rates(f"{histogram}_bucket", *by, "le")
    legend = legend.removesuffix("{{le}}")
    return [
        (f"histogram_quantile({quantile}, {buckets})", f"{legend}p{round(quantile * 100)}")
        for quantile in (0.5, 0.99)
    ]


def worst(metric: str, *by: str) -> Query:
    """A gauge of the observer; two observers tell the same."""
    if not by:
        return f"max({metric}{{{OURS}}})", metric.removeprefix("voltpay_")
    return f"max by ({', '.join(by)}) ({metric}{{{OURS}}})", "{{" + by[0] + "}}"


WRITERS: dict[str, Sequence[Stat | Graph]] = {
    "Is all well?": [
        stat("Writers", "none", f"sum(up{{{WRITER}}})"),
        stat("Alerts", "none", f'count(ALERTS{{{OURS},alertstate="firing"}}) or vector(0)', bad=1),
        stat("Records a second", "none", f"sum(namespace:voltpay_group_offset:rate5m{{{OURS}}})"),
        stat("Waiting", "none", f"sum(namespace:voltpay_group_lag_records:sum{{{OURS}}})"),
        stat("Partitions without an owner", "none", worst("voltpay_unowned_partitions")[0], bad=1),
        stat("Oldest event to send", "s", worst("voltpay_outbox_oldest_seconds")[0], bad=300),
    ],
    "Payments": [
        graph(
            "Records by outcome",
            "cps",
            (
                f"sum by (outcome) (namespace_outcome:voltpay_records:rate5m{{{OURS}}})",
                "{{outcome}}",
            ),
            stacked=True,
        ),
        graph("Dead letters by code", "cps", rates("voltpay_dead_letters_total", "code")),
        graph("Events", "cps", rates("voltpay_events_total", "kind", "repeat")),
        graph(
            "Records finished in an hour, and last week",
            "cps",
            (f"sum(namespace:voltpay_group_offset:rate1h{{{OURS}}})", "now"),
            (f"sum(namespace:voltpay_group_offset:rate1h{{{OURS}}} offset 1w)", "a week ago"),
        ),
        graph(
            "Records that wait",
            "none",
            ("sum(" + worst("voltpay_group_lag_records", "partition")[0] + ")", "all"),
        ),
        graph(
            "Ten partitions with the most",
            "none",
            (f"topk(10, {worst('voltpay_group_lag_records', 'partition')[0]})", "{{partition}}"),
        ),
    ],
    "Time": [
        graph(
            "Age of the oldest record of a batch",
            "s",
            *quantiles("voltpay_batch_oldest_record_age_seconds"),
        ),
        graph("Seconds of a step", "s", *quantiles("voltpay_step_seconds", "step")),
        graph(
            "What the writers do all the time",
            "none",
            rates("voltpay_step_seconds_sum", "step"),
            stacked=True,
        ),
        graph("Records of a batch", "none", *quantiles("voltpay_batch_records")),
    ],
    "Recovery": [
        graph(
            "Take-overs and lost partitions",
            "cps",
            (rates("voltpay_take_overs_total", "instance")[0], "{{instance}} took over"),
            (rates("voltpay_fenced_total", "instance")[0], "{{instance}} fenced"),
        ),
        graph("Retries", "cps", rates("voltpay_retries_total", "target")),
        graph(
            "Outages, and rejections before the breaker",
            "none",
            (f"sum(voltpay_outage{{{OURS}}})", "writers that wait"),
            worst("voltpay_breaker_refusals"),
        ),
        graph("Members of the group", "none", worst("voltpay_group_members")),
        graph(
            "Partitions of each writer", "none", (f"voltpay_partitions{{{OURS}}}", "{{instance}}")
        ),
        graph(
            "Seconds without progress",
            "s",
            (f"time() - voltpay_last_progress_timestamp_seconds{{{OURS}}}", "{{instance}}"),
        ),
    ],
    "Upkeep": [
        graph("Months ahead", "none", worst("voltpay_months_ahead", "table")),
        graph("Oldest claim", "s", worst("voltpay_oldest_claim_seconds")),
        graph("Dead letters retained", "none", worst("voltpay_dead_letters_retained")),
        graph("Rows of the outbox", "none", worst("voltpay_outbox_rows")),
        graph("Difference of the clocks", "s", worst("voltpay_clock_difference_seconds")),
        graph(
            "Checks that are ok", "none", (f"min by (name) (voltpay_check{{{OURS}}})", "{{name}}")
        ),
    ],
    "Processes": [
        graph(
            "CPU",
            "percentunit",
            (per_second("process_cpu_seconds_total", WRITER), "{{instance}}"),
        ),
        graph("Memory", "bytes", (f"process_resident_memory_bytes{{{WRITER}}}", "{{instance}}")),
        graph("Open files", "none", (f"process_open_fds{{{WRITER}}}", "{{instance}}")),
    ],
}

SERVERS: dict[str, Sequence[Stat | Graph]] = {
    "PostgreSQL": [
        graph(
            "Sessions by state",
            "none",
            ("sum by (datname, state) (pg_stat_activity_count) > 0", "{{datname}} {{state}}"),
        ),
        graph(
            "Longest transaction",
            "s",
            (
                "max by (datname, state) (pg_stat_activity_max_tx_duration) > 0",
                "{{datname}} {{state}}",
            ),
        ),
        graph(
            "Transactions",
            "cps",
            (
                f"sum by (datname) ({per_second('pg_stat_database_xact_commit')})",
                "{{datname}}",
            ),
            (
                f"sum by (datname) ({per_second('pg_stat_database_xact_rollback')})",
                "{{datname}} rolled back",
            ),
        ),
        graph("Locks", "none", ("sum by (mode) (pg_locks_count)", "{{mode}}")),
        graph(
            "Rows inserted",
            "cps",
            (
                f"sum by (datname) ({per_second('pg_stat_database_tup_inserted')})",
                "{{datname}}",
            ),
        ),
        graph(
            "Blocks read from disk",
            "cps",
            (
                f"sum by (datname) ({per_second('pg_stat_database_blks_read')})",
                "{{datname}}",
            ),
        ),
        graph("Size", "bytes", ("pg_database_size_bytes", "{{datname}}")),
        graph(
            "Checkpoints",
            "cps",
            (per_second("pg_stat_bgwriter_checkpoints_timed_total"), "timed"),
            (per_second("pg_stat_bgwriter_checkpoints_req_total"), "requested"),
        ),
        graph(
            "Deadlocks",
            "cps",
            (
                f"sum by (datname) ({per_second('pg_stat_database_deadlocks')})",
                "{{datname}}",
            ),
        ),
    ],
    "Machines": [
        graph(
            "CPU",
            "percentunit",
            (
                f"sum by (instance, mode) ({per_second('node_cpu_seconds_total', BUSY)})",
                "{{instance}} {{mode}}",
            ),
            stacked=True,
        ),
        graph(
            "Memory available",
            "percentunit",
            ("node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes", "{{instance}}"),
        ),
        graph(
            "Disk available",
            "percentunit",
            (
                "node_filesystem_avail_bytes / node_filesystem_size_bytes",
                "{{instance}} {{mountpoint}}",
            ),
        ),
        graph(
            "Disk busy",
            "percentunit",
            (per_second("node_disk_io_time_seconds_total"), "{{instance}} {{device}}"),
        ),
        graph(
            "Network",
            "Bps",
            (
                per_second("node_network_receive_bytes_total"),
                "{{instance}} {{device}} in",
            ),
            (
                per_second("node_network_transmit_bytes_total"),
                "{{instance}} {{device}} out",
            ),
        ),
        graph(
            "Processes killed for want of memory",
            "none",
            ("increase(node_vmstat_oom_kill[1h])", "{{instance}}"),
        ),
    ],
}


def dashboard(title: str, uid: str, rows: dict[str, Sequence[Stat | Graph]]) -> Dashboard:
    """A dashboard of these rows, over the last hour."""
    board = (
        Dashboard(title)
        .uid(uid)
        .tags(["voltpay"])
        .refresh("30s")
        .time("now-1h", "now")
        .timezone("browser")
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(DatasourceVariable("datasource").label("Prometheus").type("prometheus"))
    )
    if rows is WRITERS:
        board.with_variable(
            QueryVariable("namespace")
            .datasource(PROMETHEUS)
            .query('label_values(up{job="voltpay-writer"}, namespace)')
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .include_all(True)
            .all_value(".*")  # also where there is no such label
        )
    for name, panels in rows.items():
        board.with_row(Row(name))
        for panel in panels:
            board.with_panel(panel)
    return board


def dashboards() -> dict[str, str]:
    """The text of each file, by its name."""
    boards = {
        "writers.json": dashboard("Voltpay: writers", "voltpay-writers", WRITERS),
        "servers.json": dashboard("Voltpay: servers", "voltpay-servers", SERVERS),
    }
    encoder = JSONEncoder(indent=2, sort_keys=True)
    return {name: encoder.encode(board.build()) + "\n" for name, board in boards.items()}


if __name__ == "__main__":
    for name, text in dashboards().items():
        Path(__file__).with_name(name).write_text(text, "utf-8")
