"""A report as text for a person and as values for a program."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from voltpay_adapters.snapshots import GroupState, Rate, StoreState
from voltpay_cli.remedies import with_remedy
from voltpay_cli.reporting import Report
from voltpay_core.dead_letters import counts, hourly, printable

MOST_MEMBERS = 20
MOST_PARTITIONS = 8
MOST_HOURS = 12
_DAY = 86_400


def verdict(report: Report) -> str:
    """One word: ``ok``, or ``attention`` if a person should do something."""
    return "attention" if report.problems else "ok"


def as_text(report: Report) -> list[str]:
    """One screen, the verdict first."""
    snapshot = report.snapshot
    lines = [*_verdict(report), f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC", ""]
    if isinstance(snapshot.group, GroupState):
        lines += _group(snapshot.group)
        lines += _labelled("rate", _rate(report))
    if isinstance(snapshot.store, StoreState):
        lines += _store(snapshot.store)
    if isinstance(snapshot.dead_letters, int):
        lines += _dead_letters(report, snapshot.dead_letters)
    return lines


def as_values(report: Report) -> dict[str, Any]:
    """The same and more; null stands for a part that is not there or could not be read."""
    snapshot, rate = report.snapshot, report.rate
    group, store, retained = snapshot.group, snapshot.store, snapshot.dead_letters
    return {
        "at": snapshot.at.isoformat(timespec="milliseconds"),
        "verdict": verdict(report),
        "problems": [
            {"name": each.name, "code": each.failure.code, "message": with_remedy(each.failure)}
            for each in report.problems
            if each.failure
        ],
        "group": _group_values(group) if isinstance(group, GroupState) else None,
        "rate": _rate_values(rate) if rate else None,
        "store": _store_values(store) if isinstance(store, StoreState) else None,
        "dead_letters": _letter_values(report, retained) if isinstance(retained, int) else None,
        "checks": [
            {"name": each.name, "ok": each.failure is None, "message": str(each.answer)}
            for each in snapshot.checks
        ],
    }


def number_ranges(numbers: Iterable[int]) -> str:
    """Numbers in order as ranges, such as ``0-3, 7``; a dash if there are none."""
    ranges: list[list[int]] = []
    for number in numbers:
        if ranges and number == ranges[-1][-1] + 1:
            ranges[-1] = [ranges[-1][0], number]
        else:
            ranges.append([number])
    return ", ".join("-".join(map(str, each)) for each in ranges) or "-"


def _group_values(group: GroupState) -> dict[str, Any]:
    return {
        "members": [
            {"client_id": m.client_id, "host": m.host, "partitions": list(m.partitions)}
            for m in group.members
        ],
        "unowned": list(group.unowned),
        "lag": sum(group.lag.values()),
        "lag_by_partition": {str(number): lag for number, lag in group.lag.items()},
    }


def _rate_values(rate: Rate) -> dict[str, float]:
    return {"produced": round(rate.produced, 1), "acknowledged": round(rate.acknowledged, 1)}


def _store_values(store: StoreState) -> dict[str, Any]:
    return {
        "outbox_rows": store.outbox_rows,
        "outbox_oldest_seconds": round(store.outbox_oldest, 3),
        "oldest_claim_seconds": round(store.oldest_claim, 3),
        "months_ahead": dict(store.months_ahead),
        "clock_difference_seconds": round(store.clock_difference, 3),
        "node_ids": list(store.node_ids),
    }


def _letter_values(report: Report, retained: int) -> dict[str, Any]:
    letters = report.letters
    return {
        "retained": retained,
        "read": len(letters),
        "by_code": counts(letters),
        "by_hour": {hour.isoformat(): codes for hour, codes in hourly(letters).items()},
    }


def _verdict(report: Report) -> Iterator[str]:
    if not report.problems:
        group = report.snapshot.group
        if isinstance(group, GroupState):
            waiting = sum(group.lag.values())
            yield f"OK: {waiting:,} records wait" if waiting else "OK: no record waits"
        else:
            yield "OK"
        return
    number = len(report.problems)
    yield f"ATTENTION: {number} problem{'s' if number > 1 else ''}"
    for each in report.problems:
        if each.failure:
            yield f"  {each.name}: {with_remedy(each.failure)}"


def _group(group: GroupState) -> Iterator[str]:
    owners = [printable(f"{each.host}  {each.client_id}") for each in group.members]
    width = max(map(len, owners), default=0)
    members = [
        f"{owner:<{width}}  partitions {number_ranges(member.partitions)}"
        for owner, member in sorted(zip(owners, group.members, strict=True), key=_first_partition)
    ]
    yield from _labelled("members", _first([str(len(members)), *members], MOST_MEMBERS + 1))
    if group.unowned:
        yield from _labelled("unowned", [f"partitions {number_ranges(group.unowned)}"])
    waiting = {number: lag for number, lag in group.lag.items() if lag}
    largest = sorted(waiting.items(), key=lambda item: -item[1])
    parts = _first([f"{number}: {lag:,}" for number, lag in largest], MOST_PARTITIONS)
    total = f"{sum(waiting.values()):,} records in {len(waiting)} of {len(group.ends)} partitions"
    yield from _labelled("lag", [total, *([", ".join(parts)] if parts else [])])


def _first_partition(owned: tuple[str, Any]) -> tuple[tuple[int, ...], str]:
    owner, member = owned
    return member.partitions, owner


def _rate(report: Report) -> Iterator[str]:
    rate, group = report.rate, report.snapshot.group
    if rate is None or not isinstance(group, GroupState):
        return
    lag, gain = sum(group.lag.values()), rate.acknowledged - rate.produced
    left = f"; no record waits after {_duration(lag / gain)}" if lag and gain > 0 else ""
    yield f"{rate.acknowledged:,.0f} records/s finished, {rate.produced:,.0f} produced{left}"


def _store(store: StoreState) -> Iterator[str]:
    oldest = f", the oldest for {_duration(store.outbox_oldest)}" if store.outbox_rows else ""
    yield from _labelled("outbox", [f"{store.outbox_rows:,} rows wait{oldest}"])
    if store.months_ahead:
        months = (f"{table} {ahead}" for table, ahead in store.months_ahead.items())
        yield from _labelled("months", [f"ahead: {', '.join(months)}"])
    if store.oldest_claim:
        yield from _labelled("claims", [f"the oldest is {_duration(store.oldest_claim)} old"])
    if store.node_ids:
        ids = ", ".join(f"{node_id:03}" for node_id in store.node_ids)
        yield from _labelled("node ids", [f"{ids} are held by running processes"])


def _dead_letters(report: Report, retained: int) -> Iterator[str]:
    letters = report.letters
    told = f", of which the newest {len(letters):,} were read" if len(letters) < retained else ""
    by_code = [_codes(counts(letters))] if letters else []
    hours = hourly(letters)
    by_hour = [
        f"{hour:%Y-%m-%d %H}:00 UTC  {sum(codes.values()):>7,}  {_codes(codes)}"
        for hour, codes in hours.items()
    ]
    lines = [f"{retained:,} retained{told}", *by_code, *_first(by_hour, MOST_HOURS)]
    yield from _labelled("dead letters", lines)


def _codes(by_code: Mapping[str, int]) -> str:
    return ", ".join(f"{code} {count:,}" for code, count in by_code.items())


def _labelled(label: str, lines: Iterable[str]) -> Iterator[str]:
    """Lines in a column, the first one beside its label."""
    for number, line in enumerate(lines):
        yield f"{label if number == 0 else '':<14}{line}"


def _first(lines: list[str], most: int) -> list[str]:
    """The first lines, and the number of the others."""
    others = len(lines) - most
    return [*lines[:most], *([f"and {others} more"] if others > 0 else [])]


def _duration(seconds: float) -> str:
    """A time in its largest unit."""
    for unit, size in (("days", _DAY), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"
