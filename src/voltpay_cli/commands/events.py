"""`voltpay events`: publishes events again."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Annotated

import typer

from voltpay_cli.console.progress import Output, once_a_minute
from voltpay_cli.console.signals import StopFlag, stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, switch, with_settings
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
            "--from", help="first time of the payments, in UTC [default: all]", metavar="TIME"
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
    payments = PaymentRange(
        wiring.now() if end is None else _time("--to", end),
        UNIX_EPOCH if start is None else _time("--from", start),
    )
    if after is not None:
        payments = payments.rest(_payment_id(after))
    with stop_on_signals() as stop, wiring.payment_reader() as reader:
        if not yes:
            _count(reader.count(payments), output)
            raise typer.Exit
        wiring.audit("store", "events")
        pace = Pace(rate, stop.flag.wait) if rate else None
        raise typer.Exit(_publish(wiring, reader, payments, pace, stop, output=output))


def _count(events: int, output: Output) -> None:
    if output == "json":
        typer.echo(json.dumps({"events": events, "dry_run": True}))
    else:
        typer.echo(f"would publish {events} read events")
        typer.echo("nothing was published: this was a dry run; --yes publishes them")


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
    where = f"--after {done.last}" if done.last else f"--from {_text(payments.start)}"
    rest = None if done.finished else f"{where} --to {_text(payments.end)}"
    if output == "json":
        row = {"events": done.published, "dry_run": False, "finished": done.finished, "rest": rest}
        typer.echo(json.dumps(row))
        return
    typer.echo(f"published {done.published} read events")
    if rest:
        typer.echo(f"to continue: {rest}")


def _text(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _time(flag: str, text: str) -> datetime:
    try:
        instant = datetime.fromisoformat(text.strip())
        return instant.replace(tzinfo=UTC) if instant.tzinfo is None else instant.astimezone(UTC)
    except (ValueError, OverflowError):
        raise Misconfigured(
            f"{flag}: needs a date or a time such as 2026-11-01 or 2026-11-01T09:30:00Z"
        ) from None


def _payment_id(text: str) -> PaymentId:
    try:
        return PaymentId.parse(text.strip().upper())
    except ValueError as error:
        raise Misconfigured(f"--after: {error}") from None
