"""`voltpay dead-letter`: looks at dead letters, exports them, and sends them back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from itertools import islice
from typing import Annotated, Any

import typer
from attrs import asdict

from voltpay_cli.console.results import print_result
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import Format, number, switch, with_settings
from voltpay_cli.times import moment
from voltpay_cli.wiring import Wiring
from voltpay_core.dead_letters import DeadLetter, DeadLetters, Selection, counts, find
from voltpay_core.records import Record
from voltpay_core.replaying import Replayed, ReplayPlan, export, plans, replay

app = group(no_args_is_help=True, help="List, export and replay dead letters.")

Code = Annotated[str | None, typer.Option(help="only dead letters with this code", metavar="CODE")]
Since = Annotated[
    str | None,
    typer.Option(
        help="only letters that failed at this time or later: ISO 8601, in UTC unless it has a"
        " zone, or an age such as 2h",
        metavar="TIME",
    ),
]
Until = Annotated[
    str | None, typer.Option(help="only letters that failed before this time", metavar="TIME")
]

_COLUMNS = (
    "place",
    "code",
    "attempt",
    "failed_at",
    "trace_id",
    "correlation_id",
    "origin",
    "reason",
)


@app.command(
    "list",
    epilog=examples(
        "voltpay dead-letter list --code invalid-field --limit 20",
        "voltpay dead-letter list --since 2h --output json",
        "voltpay dead-letter list --since 2026-01-31T12:00Z --until 2026-01-31T13:00Z",
    ),
)
@with_settings("source", "events", "x")
def list_letters(
    wiring: Wiring,
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    limit: Annotated[int | None, number("dead letters to show, at most", 0)] = None,
    output: Format = "text",
) -> None:
    """Count the dead letters by code, then list each, without anything of its payment."""
    records = _selected(wiring, code, since, until)
    letters = [DeadLetter.read(record) for record in records]
    shown = [_row(letter) for letter in islice(letters, limit)]
    by_code = counts(letters)
    lines = [f"{count:>8} {name}" for name, count in by_code.items()]
    for row in shown:
        cells = (row[name] for name in _COLUMNS)
        lines.append("  ".join("-" if cell is None else str(cell) for cell in cells))
    print_result(output, {"counts": by_code, "letters": shown}, lines)


@app.command(
    "show",
    epilog=examples(
        "voltpay dead-letter show payment_writer_dlq-17@42",
        "voltpay dead-letter show payment_writer_dlq-17@42 --reveal",
    ),
)
@with_settings("source", "events", "x")
def show_letter(
    wiring: Wiring,
    place: Annotated[str, typer.Argument(help="TOPIC-PARTITION@OFFSET, as the list shows it")],
    *,
    reveal: Annotated[
        bool, switch("--reveal", "also the payment; the log says who has seen it")
    ] = False,
    output: Format = "text",
) -> None:
    """Print everything about one dead letter, except its payment."""
    record = find(wiring.dead_letters(), place)
    row = _row(DeadLetter.read(record))
    if reveal:
        wiring.audit("events")
        row["record"] = wiring.envelope(record)
    print_result(output, row, (f"{name} = {json.dumps(value)}" for name, value in row.items()))


@app.command(
    "export",
    epilog=examples(
        "voltpay dead-letter export letters.jsonl --code invalid-field --since 2h",
        "voltpay consume --source file:letters.jsonl",
    ),
)
@with_settings("source", "events", "x")
def export_letters(
    wiring: Wiring,
    file: Annotated[str, typer.Argument(help="a file that does not exist, or - for stdout")],
    *,
    code: Code = None,
    since: Since = None,
    until: Until = None,
    force: Annotated[bool, switch("--force", "also letters whose claims may be purged")] = False,
    output: Format = "text",
) -> None:
    """Write dead letters to a file that can be consumed, payments included."""
    oldest = wiring.now() - timedelta(days=wiring.settings.limits.claims_days)
    records = _selected(wiring, code, since, until)
    wiring.audit("events")
    with stop_on_signals() as stop, wiring.new_payment_file(file) as publisher:
        topic = wiring.settings.topics.writer
        exported = export(records, publisher, topic, oldest=None if force else oldest, stop=stop)
        if stop():
            raise KeyboardInterrupt  # removes the file
    print_result(output, {"exported": exported}, [f"exported {exported}"], err=file == "-")


@app.command(
    "replay",
    epilog=examples(
        "voltpay dead-letter replay --code refused-by-database",
        "voltpay dead-letter replay --code refused-by-database --yes",
    ),
)
@with_settings("source", "events", "group", "x")
def replay_letters(
    wiring: Wiring,
    *,
    code: Code = None,
    limit: Annotated[int | None, number("dead letters to send, at most")] = None,
    max_attempts: Annotated[int, number("skip dead letters that have failed this often")] = 5,
    yes: Annotated[bool, switch("--yes", "send them, not only count them")] = False,
    force: Annotated[bool, switch("--force", "also letters whose claims may be purged")] = False,
    output: Format = "text",
) -> None:
    """Send dead letters back to the input topic, under the same key and message id."""
    letters = wiring.dead_letters()
    rows: dict[str, dict[str, Any]] = {}

    def tell(found: str, counted: ReplayPlan | Replayed) -> None:
        rows.setdefault(found, {"code": found}).update(asdict(counted))
        if output == "text":
            typer.echo(f"{found}: {counted}")

    if yes:
        wiring.audit("source", "events", "group")
    with stop_on_signals() as stop:
        for found in [code] if code else counts(map(DeadLetter.read, letters.browse())):
            plan = _plan(wiring, letters, found, max_attempts)
            tell(found, plan)
            if not yes or stop() or limit == 0:
                continue
            with closing(letters.source(found)) as source, wiring.input_publisher() as publisher:
                done = replay(
                    source,
                    publisher,
                    wiring.settings.topics.writer,
                    None if force else plan,
                    code=found,
                    max_attempts=max_attempts,
                    limit=limit,
                    stop=stop,
                )
            tell(found, done)
            limit = None if limit is None else limit - done.replayed
        lines = [] if yes else ["nothing was sent: this was a dry run; --yes sends them"]
        print_result(output, {"dry_run": not yes, "codes": [*rows.values()]}, lines)
    raise typer.Exit(ExitCode.STOPPED if stop() else ExitCode.DONE)


def _plan(wiring: Wiring, letters: DeadLetters, code: str, max_attempts: int) -> ReplayPlan:
    settings = wiring.settings
    found = plans(
        letters.browse(replays_of=code),
        max_attempts=max_attempts,
        now=wiring.now(),
        claims_kept=timedelta(days=settings.limits.claims_days),
        input_retention=timedelta(hours=settings.topics.retention_hours),
    )
    return found.get(code, ReplayPlan())


def _selected(
    wiring: Wiring, code: str | None, since: str | None, until: str | None
) -> Iterator[Record]:
    now = wiring.now()
    selection = Selection(
        code=code, since=moment("--since", since, now), until=moment("--until", until, now)
    )
    letters = wiring.dead_letters().browse()
    return (record for record in letters if selection.has(DeadLetter.read(record)))


def _row(letter: DeadLetter) -> dict[str, object]:
    row = {"place": letter.location, **asdict(letter)}
    del row["location"]
    return {
        name: value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
        for name, value in row.items()
    }
