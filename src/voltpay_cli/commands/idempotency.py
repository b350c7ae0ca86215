"""`voltpay idempotency`: deletes old claims."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Annotated

import typer

from voltpay_cli.console.lines import event
from voltpay_cli.console.results import Output, print_result
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, switch, with_settings
from voltpay_cli.times import age
from voltpay_cli.wiring import Wiring
from voltpay_core import purging
from voltpay_core.purging import ClaimRetention

log = logging.getLogger("voltpay")

app = group(no_args_is_help=True, help="Maintain the claimed message ids.")


@app.command(
    epilog=examples(
        "voltpay idempotency purge --dry-run", "voltpay idempotency purge --older-than 14d"
    )
)
@with_settings("source", "store", "x")
def purge(
    wiring: Wiring,
    *,
    older_than: Annotated[
        str | None,
        typer.Option(
            help="age of the claims to delete, such as 48h [default: limits.claims_days]",
            metavar="AGE",
        ),
    ] = None,
    dry_run: Annotated[bool, switch("--dry-run", "only count them")] = False,
    force: Annotated[
        bool,
        switch("--force", "also claims that the input topic or replays still need"),
    ] = False,
    chunk: Annotated[int, number("claims per transaction")] = purging.CHUNK,
    output: Format = "text",
) -> None:
    """Delete old claims in chunks. It can be stopped and run again."""
    claims_kept = timedelta(days=wiring.settings.limits.claims_days)
    oldest = claims_kept if older_than is None else age("--older-than", older_than)
    retention = None
    if not force:
        retention = ClaimRetention(wiring.topics().input_retention(), replays=claims_kept)
        retention.check(oldest)  # a dry run is rejected, too
    total = 0

    def count(deleted: int) -> None:
        nonlocal total
        total = deleted
        log.info("deleted %d claims", deleted, extra=event("claims-deleted", claims=deleted))

    with stop_on_signals() as stop, wiring.database() as begin:
        if dry_run:
            total = purging.expired(begin, oldest)
            _report(total, output, dry_run=True, finished=not stop())
        else:
            wiring.audit("store")
            try:
                purging.purge(begin, oldest, retention, chunk=chunk, stop=stop, notify=count)
            finally:
                _report(total, output, dry_run=False, finished=not stop())
    raise typer.Exit(ExitCode.STOPPED if stop() else ExitCode.DONE)


def _report(claims: int, output: Output, *, dry_run: bool, finished: bool) -> None:
    line = f"{'would delete' if dry_run else 'deleted'} {claims} claims"
    print_result(output, {"claims": claims, "dry_run": dry_run, "finished": finished}, [line])
