"""`voltpay produce`: sample payments for the input topic or file."""

from __future__ import annotations

from functools import partial
from random import SystemRandom
from typing import Annotated

import typer

from voltpay_cli.console.results import print_result
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, with_settings
from voltpay_cli.samples import send_samples
from voltpay_cli.wiring import Wiring

_share = partial(typer.Option, min=0, max=1, metavar="SHARE")

app = group()


@app.command(epilog=examples("voltpay produce --count 10000 --duplicates 0.05 --poison 0.01"))
@with_settings("source", "x")
def produce(
    wiring: Wiring,
    *,
    count: Annotated[int, number("number of records", 0)] = 1000,
    seed: Annotated[
        int | None, typer.Option(help="the same seed makes the same records", metavar="N")
    ] = None,
    duplicates: Annotated[float, _share(help="share of repeated payments")] = 0.0,
    poison: Annotated[float, _share(help="share of unacceptable records")] = 0.0,
    accounts: Annotated[int, number("number of accounts")] = 500,
    rate: Annotated[int | None, number("records per second, at most")] = None,
    warm_ups: Annotated[int, number("warm-up records to send first", 0, 1000)] = 0,
    output: Format = "text",
) -> None:
    """Write sample payments to the input topic or file."""
    seed = SystemRandom().getrandbits(32) if seed is None else seed
    with stop_on_signals() as stop:
        sent = send_samples(
            wiring,
            stop.flag,
            count,
            seed,
            accounts=accounts,
            duplicates=duplicates,
            poison=poison,
            warm_ups=warm_ups,
            rate=rate,
        )
    lines = [f"produced {sent} records with --seed {seed}"]
    to_stderr = wiring.settings.source == "file:-"
    print_result(output, {"produced": sent, "seed": seed}, lines, err=to_stderr)
