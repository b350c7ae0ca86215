"""`voltpay events`: publishes events again."""

from __future__ import annotations

from typing import Annotated

import typer

from voltpay_cli.console.progress import once_a_minute
from voltpay_cli.console.results import Output, print_result
from voltpay_cli.console.signals import StopFlag, stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, switch, with_settings
from voltpay_cli.times import iso, moment
from voltpay_cli.wiring import Wiring
from voltpay_core import rebuilding
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.ids import UNIX_EPOCH, PaymentId
from voltpay_core.pacing import Pace
from voltpay_core.ports import PaymentRange, PaymentReader
from voltpay_core.rebuilding import Rebuilt

app = group(no_args_is_help=True, help="Publish events again.")


@app.command(
    epilog=examples(
        "voltpay events rebuild --from 2026-01-01 --to 2026-07-01",
        "voltpay events rebuild --from 2026-01-01 --to 2026-07-01 --rate 500 --yes",
    )
)
@with_settings("source", "store", "events", "x")
def rebuild(
    wiring: Wiring,
    *,
    start: Annotated[
        str | None,
        typer.Option(
            "--from",
            help="first time of the payments: ISO 8601, in UTC unless it has a zone, or an age such"
            " as 30d [default: all]",
            metavar="TIME",
        ),
    ] = None,
    end: Annotated[
        str | None,
        typer.Option("--to", help="time after the last of them [default: now]", metavar="TIME"),
    ] = None,
    after: Annotated[
        str | None,
        typer.Option(help="continue after the payment with this id", metavar="ID"),
    ] = None,
    rate: Annotated[int | None, number("events per second, at most")] = None,
    yes: Annotated[bool, switch("--yes", "publish them, not only count them")] = False,
    output: Format = "text",
) -> None:
    """Publish read events again from the tables, for a reader that starts from nothing."""
    now = wiring.now()
    payments = PaymentRange(
        moment("--to", end, now) or now, moment("--from", start, now) or UNIX_EPOCH
    )
    if after is not None:
        payments = payments.rest(_payment_id(after))
    with stop_on_signals() as stop, wiring.payment_reader() as reader:
        if not yes:
            events = reader.count(payments)
            lines = [
                f"would publish {events} read events",
                "nothing was published: this was a dry run; --yes publishes them",
            ]
            print_result(output, {"events": events, "dry_run": True}, lines)
            raise typer.Exit
        wiring.audit("store", "events")
        pace = Pace(rate, stop.flag.wait) if rate else None
        raise typer.Exit(_publish(wiring, reader, payments, pace, stop, output=output))


def _publish(
    wiring: Wiring,
    reader: PaymentReader,
    payments: PaymentRange,
    pace: Pace | None,
    stop: StopFlag,
    *,
    output: Output,
) -> ExitCode:
    """Publish the events, say where another run continues, and return how it ended."""
    done, log_seldom = Rebuilt(last=payments.after), once_a_minute()

    def keep(progress: Rebuilt) -> None:
        nonlocal done
        done = progress
        log_seldom(progress)

    try:
        with wiring.event_publisher() as publisher:
            done = rebuilding.rebuild(
                reader,
                publisher,
                wiring.codec,
                payments,
                retry=wiring.retry(stop.flag),
                pace=pace,
                stop=stop,
                notify=keep,
            )
    except Unavailable as failure:
        if failure.halt or not stop():
            raise
    finally:
        _report(done, payments, output)
    return ExitCode.DONE if done.finished else ExitCode.STOPPED


def _report(done: Rebuilt, payments: PaymentRange, output: Output) -> None:
    where = f"--after {done.last}" if done.last else f"--from {iso(payments.start)}"
    rest = None if done.finished else f"{where} --to {iso(payments.end)}"
    row = {"events": done.published, "dry_run": False, "finished": done.finished, "rest": rest}
    lines = [f"published {done.published} read events", *([f"to continue: {rest}"] if rest else [])]
    print_result(output, row, lines)


def _payment_id(text: str) -> PaymentId:
    try:
        return PaymentId.parse(text.strip().upper())
    except ValueError as error:
        raise Misconfigured(f"--after: {error}") from None
