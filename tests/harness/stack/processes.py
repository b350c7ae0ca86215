"""Child processes that log to a file, die with their parent and are ended by their id."""

import random
import shutil
import signal
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

# Linux ends a child when the *thread* that started it ends: this one lasts as long as the process
_starter = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stack-starter")

_UNTAKEN_PORTS = range(15_000, 32_000)


class StackError(Exception):
    """A process of the stack did not do what was asked of it; the text shows the end of its log."""


class Server(ABC):
    """A server of a test's own: `with` opens it, and closes it at the end."""

    def __enter__(self) -> Self:
        """Open it; what is half open is closed."""
        try:
            self._open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @abstractmethod
    def _open(self) -> None:
        """Make its files and start it."""

    @abstractmethod
    def close(self) -> None:
        """End what runs of it, without ceremony, and remove its folder."""


class Process:
    """A running child; `name` stands in errors, and all it prints is appended to `log`.

    As root it may run as another `user`. `death_signal` is what it gets when this process dies.
    `env` is its environment, in the place of ours.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        user: str | None = None,
        death_signal: str = "KILL",
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name = name
        self.log = log
        self._log_start = log.stat().st_size if log.exists() else 0
        self._popen = _starter.submit(_popen, command, log, user, death_signal, env).result()

    @property
    def pid(self) -> int:
        """The id by which the process is signalled."""
        return self._popen.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended; a suspended process is running."""
        return self._popen.poll() is None

    def printed(self) -> str:
        """What this run of the process has logged so far."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def wait_for(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Return when `ready()` holds; fail when the process ends or `seconds` pass before."""
        deadline = time.monotonic() + seconds
        while not ready():
            if not self.running:
                raise self._error(f"ended with code {self._popen.returncode}")
            if time.monotonic() > deadline:
                raise self._error(f"was not ready within {seconds:g} seconds")
            time.sleep(0.05)

    def succeed(self, *, seconds: float) -> None:
        """Wait at most `seconds` for a process that ends by itself, and fail when it failed."""
        self._wait(seconds)
        if self._popen.returncode != 0:
            raise self._error(f"ended with code {self._popen.returncode}")

    def send(self, number: signal.Signals) -> None:
        """Send a signal, by the process's id."""
        self._popen.send_signal(number)

    def suspend(self) -> None:
        """Freeze the process (SIGSTOP), and return when each of its threads stands (Linux)."""
        self.send(signal.SIGSTOP)
        threads = Path(f"/proc/{self.pid}/task")
        self.wait_for(lambda: all(map(_stands, threads.glob("*/stat"))), seconds=60)

    def end(self, number: signal.Signals = signal.SIGKILL, *, seconds: float = 60) -> None:
        """Send a signal that ends the process and wait until it is gone, at most `seconds`."""
        self.send(number)
        self._wait(seconds)

    def _wait(self, seconds: float) -> None:
        try:
            self._popen.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise self._error(f"did not end within {seconds:g} seconds") from error

    def _error(self, trouble: str) -> StackError:
        tail = "\n".join(self.printed().splitlines()[-30:])
        return StackError(f"{self.name} {trouble}; its log {self.log} ends with:\n{tail}")


def _popen(
    command: Sequence[str | Path],
    log: Path,
    user: str | None,
    death_signal: str,
    env: Mapping[str, str] | None,
) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv")
    watched = [setpriv, "--pdeathsig", death_signal, "--", *command] if setpriv else command
    with log.open("ab") as output:
        return subprocess.Popen(
            watched,
            cwd=log.parent,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            user=user,
            group=user,
            extra_groups=None if user is None else [],
            start_new_session=True,  # Ctrl-C in a terminal is for us to handle, not for children
        )


def descendants(pid: int) -> list[int]:
    """The ids of the processes that a process has started, and those that they have (Linux)."""
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for thread in threads for child in thread.read_text().split()]
    return children + [below for child in children for below in descendants(child)]


def wait_until_gone(pids: Sequence[int], *, seconds: float) -> None:
    """Return when no process has one of these ids; fail after `seconds` (Linux)."""
    deadline = time.monotonic() + seconds
    while living := [pid for pid in pids if _is_alive(pid)]:
        if time.monotonic() > deadline:
            raise StackError(f"still running after {seconds:g} seconds: {living}")
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    return state(Path(f"/proc/{pid}/stat")) not in {"Z", "X"}  # ended, and nobody has asked how yet


def _stands(stat: Path) -> bool:
    return state(stat) in {"T", "X"}


def state(stat: Path) -> str:
    """The letter of a process or of a thread (Linux); X if there is none any more."""
    try:
        return stat.read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that nobody listens on, below those given to outgoing connections.

    A client that keeps calling a stopped server could otherwise be given that very port.
    """
    chosen: list[int] = []
    while len(chosen) < count:
        port = random.choice(_UNTAKEN_PORTS)
        if port not in chosen and _is_free(port):
            chosen.append(port)
    return chosen


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
