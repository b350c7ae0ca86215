"""Checks everything that the settings name, as `voltpay check` prints it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from voltpay_adapters.findings import Finding, ask
from voltpay_adapters.local.checking import check_readable, check_writable
from voltpay_adapters.urls import Url
from voltpay_cli.settings import Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured, Unavailable


def run_checks(wiring: Wiring) -> Iterator[Finding]:
    """Look at everything that the settings name, one thing after the other."""
    settings = wiring.settings
    source, store, events = settings.source, settings.store, settings.events_url
    yield ask("settings", lambda: _complete(settings))
    if (source and source.is_kafka) or (events and events.is_kafka):
        yield from _guarded("broker", lambda: wiring.topics().check())
    if source and not source.is_kafka:
        yield ask("source", lambda: check_readable(source.path))
    if events and not events.is_kafka:
        yield ask("events", lambda: check_writable(Path(events.path)))
    if store and store.is_sqlite:
        yield ask("store", lambda: check_writable(Path(store.path).parent))
    elif store:
        yield from _guarded("database", lambda: _database(wiring, store))


def _complete(settings: Settings) -> str:
    settings.required("source", "store", "events")
    return "source, store and events are set"


def _guarded(name: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except (Misconfigured, Unavailable) as failure:
        yield Finding(name, failure)


def _database(wiring: Wiring, url: Url) -> Iterator[Finding]:
    from voltpay_adapters.postgres import health

    limits = wiring.settings.limits
    return health.check(
        *wiring.postgres(url),
        clock_skew=limits.clock_skew_seconds,
        outbox_age=limits.retry_seconds,
    )
