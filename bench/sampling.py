"""Watches processes: the CPU time of each part of the stack, and the memory of the writer."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import Event, Thread
from types import TracebackType
from typing import Self

import psutil
from attrs import frozen
from tests.harness.stack.processes import descendants

from bench.figures import value_at

INTERVAL = 0.5
"""Seconds between two samples."""

WRITER = "writer"
MACHINE = "machine"


@frozen
class Sample:
    """One moment.

    Attributes:
        cpu: Seconds of CPU that each part has used since its processes started.
        rss: MiB of the writer's largest process.
    """

    at: float
    cpu: Mapping[str, float]
    rss: float


class Sampler:
    """Takes samples in a thread, as long as it is open.

    Args:
        parts: The ids of the first processes of each part; what these have started belongs to it.
    """

    def __init__(self, parts: Mapping[str, Sequence[int]]) -> None:
        self._parts = parts
        self._samples: list[Sample] = []
        self._over = Event()
        self._thread = Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    def cpu(self, begin: float, end: float) -> dict[str, float]:
        """Seconds of CPU that each part used between two times; ``other`` is the rest."""
        used = {name: self._used(name, begin, end) for name in self._parts}
        return used | {"other": max(0.0, self._used(MACHINE, begin, end) - sum(used.values()))}

    def rss(self, end: float, most: int = 200) -> list[tuple[float, float]]:
        """The writer's memory up to a time, by seconds since the first sample, thinned out."""
        step, start = -(-len(self._samples) // most), self._samples[0].at
        return [
            (round(sample.at - start, 2), round(sample.rss, 1))
            for sample in self._samples[::step]
            if sample.rss and sample.at <= end
        ]

    def _used(self, part: str, begin: float, end: float) -> float:
        times = [sample.at for sample in self._samples]
        values = [sample.cpu[part] for sample in self._samples]
        return value_at(times, values, end) - value_at(times, values, begin)

    def _run(self) -> None:
        self._samples.append(self._sample({}))
        while not self._over.wait(INTERVAL):
            self._samples.append(self._sample(self._samples[-1].cpu))

    def _sample(self, before: Mapping[str, float]) -> Sample:
        cpu = {MACHINE: _machine_seconds()}
        rss = 0.0
        for name, roots in self._parts.items():
            trees = [pid for root in roots for pid in _tree(root)]
            # a part whose processes have ended keeps what they had used
            cpu[name] = max(before.get(name, 0.0), _each(trees, _seconds, sum))
            if name == WRITER:
                rss = _each(trees, _mib, max)
        return Sample(time.time(), cpu, rss)


def _tree(root: int) -> list[int]:
    with suppress(OSError):
        return [root, *descendants(root)]
    return []


def _each(
    pids: Sequence[int],
    measure: Callable[[psutil.Process], float],
    total: Callable[[Sequence[float]], float],
) -> float:
    found = [0.0]
    for pid in pids:
        with suppress(psutil.Error):
            found.append(measure(psutil.Process(pid)))
    return total(found)


def _seconds(process: psutil.Process) -> float:
    """Of a process, and of its children that have ended."""
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _mib(process: psutil.Process) -> float:
    return float(process.memory_info().rss) / 2**20


def _machine_seconds() -> float:
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)
