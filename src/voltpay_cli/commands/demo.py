"""`voltpay demo`: consumes sample payments on files and SQLite, twice."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voltpay_cli.commands.consume import run
from voltpay_cli.console.lines import in_json, tell
from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.console.signals import StopFlag, stop_on_signals
from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.groups import examples, group
from voltpay_cli.samples import send_samples
from voltpay_cli.settings import Settings, Url
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured

COUNT, SEED = 2000, 7
MARK = ".voltpay-demo"

app = group()


@app.command(epilog=examples("voltpay demo /tmp/demo"))
def demo(
    folder: Annotated[Path, typer.Argument(help="the folder of its files")] = Path("demo"),
) -> None:
    """Show the main job on files and SQLite, twice."""
    settings = Settings(
        source=Url(f"file:{folder}/payments.jsonl"),
        store=Url(f"sqlite:{folder}/voltpay.db"),
        events=Url(f"file:{folder}/events"),
        log_level="error",  # its dead letters are meant to be
    )
    log_to_stderr(settings.log_level, "json" if in_json() else "text")
    with stop_on_signals() as stop:
        raise typer.Exit(_play(folder, Wiring(settings=settings), stop))


def _play(folder: Path, wiring: Wiring, stop: StopFlag) -> ExitCode:
    _clear(folder)
    _make(folder, wiring, stop)
    given = wiring.settings
    urls = f"--source {given.source} --store {given.store} --events {given.events}"
    typer.echo(f"\n$ voltpay consume {urls}")
    code = run(wiring, stop)
    first = _events(folder)
    _show(folder, first)
    if code or stop():
        return code

    typer.echo("\nNow everything once more, from the first byte, as after an offset moved back:")
    wiring.start_over()
    code = run(wiring, stop)
    if stop() or code:
        return code
    if _events(folder) != first:
        words = "The events differ: this is a bug."
        tell("bug", words, words)
        return ExitCode.BUG
    typer.echo("Nothing was written and nothing was published: each payment is there once.")
    return ExitCode.DONE


def _make(folder: Path, wiring: Wiring, stop: StopFlag) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / MARK).touch()
    except OSError as error:
        reason = f"cannot write to {folder}: {error.strerror}: name another folder"
        raise Misconfigured(reason) from None
    sent = send_samples(wiring, stop.flag, COUNT, SEED, accounts=200, duplicates=0.05, poison=0.03)
    typer.echo(f"{folder}/payments.jsonl: {sent} records, duplicates and poison among them")


def _clear(folder: Path) -> None:
    """Remove the files of an earlier demo, and no others."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise Misconfigured(f"{folder} holds files that no demo made: name another folder")
    for pattern in ("payments.jsonl", "voltpay.db*", "events/payment_*.jsonl"):
        for path in folder.glob(pattern):
            path.unlink()


def _events(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.glob("events/*.jsonl"))}


def _show(folder: Path, events: dict[str, bytes]) -> None:
    store = f"{folder}/voltpay.db"
    typer.echo(f"\n{store}: the payments; look with\n  sqlite3 {store}", nl=False)
    typer.echo(" 'SELECT * FROM payment_core LIMIT 5'")
    for name, lines in events.items():
        typer.echo(f"{folder}/events/{name}: {len(lines.splitlines())} events")
