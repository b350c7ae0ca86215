"""Plays processes that need servers, event after event."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from heapq import heappop, heappush

from attrs import Factory, define

SLICE = 0.01
"""Seconds after which a server takes the next job that waits."""


@define(eq=False)
class Servers:
    """Servers with one queue, such as cores: each serves one job at a time, for a slice.

    Attributes:
        busy: Seconds of all of them together, within the time that counts.
    """

    size: int
    busy: float = 0.0
    serving: int = 0
    waiting: deque[tuple[float, Process]] = Factory(deque)


Process = Iterator[tuple[Servers, float] | None]
"""Yields what it needs next: seconds of a server, or, if None, that another one lets it go on."""


@define
class Simulation:
    """Plays processes until the end; what is before the beginning does not count."""

    begin: float
    end: float
    now: float = 0.0
    _events: int = 0
    _due: list[tuple[float, int, float, float, Servers, Process]] = Factory(list)

    def go_on(self, process: Process) -> None:
        """Let it begin, or ask for what it needs next."""
        if need := next(process, None):
            servers, seconds = need
            servers.waiting.append((seconds, process))
            self._serve(servers)

    def run(self) -> None:
        while self._due and self._due[0][0] <= self.end:
            self.now, _, used, left, servers, process = heappop(self._due)
            servers.serving -= 1
            servers.busy += max(0.0, min(used, self.now - self.begin))
            if left > 0:
                servers.waiting.append((left, process))
            else:
                self.go_on(process)
            self._serve(servers)

    def use(self, servers: Servers) -> float:
        """The share of their time in which they were busy."""
        return servers.busy / servers.size / (self.end - self.begin)

    def _serve(self, servers: Servers) -> None:
        while servers.waiting and servers.serving < servers.size:
            seconds, process = servers.waiting.popleft()
            servers.serving += 1
            self._events += 1
            used = min(seconds, SLICE)
            due = (self.now + used, self._events, used, seconds - used, servers, process)
            heappush(self._due, due)
