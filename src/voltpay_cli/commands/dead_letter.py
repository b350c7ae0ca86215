"""`voltpay dead-letter`: looks at dead letters, and sends them back."""

from __future__ import annotations

import json
from contextlib import closing
from datetime import timedelta
from itertools import islice
from typing import Annotated

import typer

from voltpay_cli.console.progress import Output
from voltpay_cli.console.signals import stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.options import number, switch, with_settings
from voltpay_cli.wiring import Wiring
from voltpay_core.dead_letters import DeadLetter, counts
from voltpay_core.replaying import ReplayPlan, plans, replay

app = group(no_args_is_help=True, help="List and replay dead letters.")

Code = Annotated[str | None, typer.Option(help="only dead letters with this code", metavar="CODE")]


@app.command("list", epilog=examples("voltpay dead-letter list --code invalid-field --limit 20"))
@with_settings("source", "events", "x")
def list_letters(
    wiring: Wiring,
    *,
    code: Code = None,
    limit: Annotated[int | None, number("dead letters to show, at most", 0)] = None,
    output: Annotated[Output, typer.Option(help="format of the list")] = "text",
) -> None:
    """Count the dead letters by code, then list each, without anything of its payment."""
    letters = [
        letter
        for letter in map(DeadLetter.read, wiring.dead_letters().browse())
        if code in {None, letter.code}
    ]
    shown = islice(letters, limit)
    if output == "json":
        rows = [_row(letter) for letter in shown]
        typer.echo(json.dumps({"counts": counts(letters), "letters": rows}))
        return
    for name, count in counts(letters).items():
        typer.echo(f"{count:>8} {name}")
    for letter in shown:
        typer.echo("  ".join(map(str, _row(letter).values())))


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
) -> None:
    """Send dead letters back to the input topic, under the same key and message id."""
    settings, letters = wiring.settings, wiring.dead_letters()
    waits = timedelta(hours=settings.topics.retention_hours)  # at most, once it is sent back
    with stop_on_signals() as stop:
        for found in [code] if code else counts(map(DeadLetter.read, letters.browse())):
            plan = plans(
                letters.browse(replays_of=found),
                max_attempts=max_attempts,
                now=wiring.now(),
                claims_kept=timedelta(days=settings.limits.claims_days) - waits,
            ).get(found, ReplayPlan())
            typer.echo(f"{found}: {plan}")
            if not yes or stop() or limit == 0:
                continue
            with (
                closing(letters.source(found)) as source,
                wiring.input_publisher() as publisher,
            ):
                done = replay(
                    source,
                    publisher,
                    settings.topics.writer,
                    None if force else plan,
                    code=found,
                    max_attempts=max_attempts,
                    limit=limit,
                    stop=stop,
                )
            typer.echo(f"{found}: {done}")
            limit = None if limit is None else limit - done.replayed
        if not yes:
            typer.echo("nothing was sent: this was a dry run; --yes sends them")
    raise typer.Exit(ExitCode.STOPPED if stop() else ExitCode.DONE)


def _row(letter: DeadLetter) -> dict[str, object]:
    return {
        "place": letter.location,
        "code": letter.code,
        "attempt": letter.attempt,
        "first_failed_at": letter.first_failed_at.isoformat(timespec="milliseconds"),
        "origin": letter.origin,
        "reason": letter.reason,
    }
