"""Shares the work of `voltpay consume` among several processes of the same command."""

from __future__ import annotations

import json
import sys
import time

from attrs import fields

from voltpay_cli.addresses import Address
from voltpay_cli.console.progress import summarize
from voltpay_cli.console.results import Output
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.settings import Settings
from voltpay_cli.supervising import Supervisor, worst
from voltpay_core.errors import Misconfigured
from voltpay_core.outcomes import Tally


def check_shareable(settings: Settings, max_messages: int | None, *, dry_run: bool) -> None:
    """Return if several processes can share the work.

    Raises:
        Misconfigured: The source, the node id or a flag is for one process.
    """
    if dry_run:
        raise Misconfigured("--workers and --dry-run: a dry run is one process")
    if not (settings.source and settings.source.is_kafka):
        raise Misconfigured("--workers: only a Kafka topic can be shared by several processes")
    if isinstance(settings.node_id, int):
        raise Misconfigured("--workers: each process needs its own node id; set node_id to auto")
    if max_messages is not None:
        raise Misconfigured("--workers and --max-messages: the number is that of one process")


def share(workers: int, listen: str | None, output: Output) -> int:
    """Run this command in several processes, print one summary, and return the worst exit code."""
    started = time.monotonic()
    program = (sys.executable, "-m", "voltpay_cli", *sys.argv[1:])
    alone = ("--workers", "1", "--output", "json")
    addresses = Address.parse(listen).counted_up(workers) if listen else []

    def command(number: int) -> tuple[str, ...]:
        at = ("--listen", str(addresses[number - 1])) if addresses else ()
        return (*program, *alone, *at)

    with stop_on_signals() as stop:
        supervisor = Supervisor(command, stop.flag)
        stop.abort = supervisor.abort
        ends = supervisor.run(workers)
    summaries = [json.loads(ended.output) for ended in ends if ended.output]
    counts = {each.name: sum(one[each.name] for one in summaries) for each in fields(Tally)}
    summarize(Tally(**counts), time.monotonic() - started, output)
    return worst(ends)
