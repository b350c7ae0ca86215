"""`voltpay observe`: metrics of the whole system, from a process beside the writers."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from voltpay_cli.addresses import DEFAULT
from voltpay_cli.console.run_log import log_start
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.groups import examples, group
from voltpay_cli.options import number, with_settings
from voltpay_cli.snapshots import take_snapshot
from voltpay_cli.wiring import Wiring

app = group()


@app.command(epilog=examples("voltpay observe --listen 0.0.0.0:9464"))
@with_settings("source", "store", "events", "group", "listen", "x")
def observe(
    wiring: Wiring,
    *,
    every: Annotated[int, number("seconds between two looks", 1, 3600)] = 15,
) -> None:
    """Serve metrics of the group, the outbox, the months and the checks, until stopped."""
    # HTTP loads OpenSSL, which other commands do not need
    from voltpay_cli.http_server import serving  # noqa: PLC0415
    from voltpay_cli.observing import Observation  # noqa: PLC0415

    log_start(wiring.settings)
    observation = Observation(partial(take_snapshot, wiring), every)
    with (
        stop_on_signals(doing="ending") as stop,
        serving(
            wiring.settings.listen or DEFAULT,
            metrics=observation.metrics,
            livez=observation.livez,
            readyz=observation.readyz,
        ),
    ):
        observation.run(stop.flag)
