"""Runs one command in several processes: passes signals on, and restarts a process that died."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from signal import SIGTERM
from subprocess import PIPE, Popen
from threading import Event, Lock

from attrs import define, field, frozen

from voltpay_cli.console.lines import event, pass_on
from voltpay_cli.exit_codes import ExitCode

log = logging.getLogger("voltpay")

RESTARTS, WITHIN = 5, 600.0
"""A process that dies more often than this within this number of seconds is not restarted."""

_SEVERITY: dict[int, int] = {ExitCode.DONE: 0, ExitCode.STOPPED: 1, ExitCode.UNAVAILABLE: 2}
"""Any other code is worse, because only a person can help."""


@frozen
class Ended:
    """How a process ended.

    Attributes:
        code: Its exit code; below zero the number of the signal that killed it.
        output: What it printed on stdout.
    """

    code: int
    output: str

    @property
    def died(self) -> bool:
        """Whether a signal or a bug ended it."""
        return self.code < 0 or self.code == ExitCode.BUG


@define
class Supervisor:
    """Keeps a number of processes of one command running until each has ended without dying.

    A process that ends with a failure stops the others.

    Attributes:
        command: The program and its arguments, by the number of the process; the first is 1.
        stop: When it is set, the processes get SIGTERM.
        first_wait: Seconds before the first restart of a process; each further one doubles them.
    """

    _command: Callable[[int], Sequence[str]]
    _stop: Event
    _first_wait: float = 1.0
    _running: set[Popen[str]] = field(factory=set, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def run(self, count: int) -> list[Ended]:
        """Run this number of processes, and return how each of them ended."""
        with ThreadPoolExecutor(count + 1) as threads:
            passing_on = threads.submit(self._pass_on_stop)
            ends = list(threads.map(self._keep_running, range(1, count + 1)))
            self._stop.set()
            passing_on.result()
        return ends

    def abort(self) -> None:
        """Kill the processes at once; a signal handler may call it, so it takes no lock."""
        for process in self._running.copy():
            process.kill()

    def _pass_on_stop(self) -> None:
        self._stop.wait()
        with self._lock:
            for process in self._running:
                process.terminate()

    def _keep_running(self, number: int) -> Ended:
        deaths: deque[float] = deque(maxlen=RESTARTS + 1)
        while True:
            ended = self._run_once(number)
            if not ended.died or self._stop.is_set():
                break
            deaths.append(time.monotonic())
            recent = sum(deaths[-1] - death < WITHIN for death in deaths)
            if recent > RESTARTS:
                log.error(
                    "worker %d died %d times within %.0f s",
                    number,
                    recent,
                    WITHIN,
                    extra=event("worker-given-up", worker=number, deaths=recent),
                )
                break
            seconds = self._first_wait * 2 ** (recent - 1)
            log.warning(
                "worker %d died (%d); restart in %.0f s",
                number,
                ended.code,
                seconds,
                extra=event("worker-died", worker=number, exit_code=ended.code, seconds=seconds),
            )
            self._stop.wait(seconds)
        if ended.code != ExitCode.DONE:
            self._stop.set()
        return ended

    def _run_once(self, number: int) -> Ended:
        """Run a process to its end; its lines on stderr get its number."""
        with self._lock:
            if self._stop.is_set():
                return Ended(ExitCode.STOPPED, "")
            process = Popen(  # noqa: S603 - our own program
                self._command(number),
                stdout=PIPE,
                stderr=PIPE,
                text=True,
                start_new_session=True,  # Ctrl-C in a terminal reaches it through the supervisor
            )
            self._running.add(process)
        with process:
            for line in process.stderr or ():
                pass_on(line, number)
            output = process.stdout.read() if process.stdout else ""
        with self._lock:
            self._running.remove(process)
        code = process.returncode
        if code == -SIGTERM and self._stop.is_set():  # the stop came before it could listen
            code = ExitCode.STOPPED
        return Ended(code, output)


def worst(ends: Sequence[Ended]) -> int:
    """The exit code of the process that ended worst; that of one that died is 1."""
    codes = [ExitCode.BUG if ended.died else ended.code for ended in ends]
    return max(codes, key=lambda code: _SEVERITY.get(code, len(_SEVERITY)))
