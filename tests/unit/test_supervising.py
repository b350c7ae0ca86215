"""The supervisor of several processes: restarts, signals, and how it all ends."""

import signal
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from tests.harness.cli import LOCAL, voltpay

from voltpay_cli.exit_codes import ExitCode
from voltpay_cli.supervising import RESTARTS, Ended, Supervisor, worst

pytestmark = pytest.mark.usefixtures("folder")

AS_FIRST = """
import os, signal, sys
try:
    os.close(os.open(os.path.join(sys.argv[1], "first"), os.O_CREAT | os.O_EXCL))
    first = True
except FileExistsError:
    first = False
"""
"""Only one of all processes is the first."""
ENDLESS = """
signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped" == "never"))
open(os.path.join(sys.argv[1], f"ready-{os.getpid()}"), "w").close()
while True:
    signal.pause()
"""


def supervisor(script: str, stop: Event | None = None) -> Supervisor:
    command = (sys.executable, "-c", AS_FIRST + script, str(Path.cwd()))
    return Supervisor(lambda _: command, stop or Event(), first_wait=0.01)


def when_ready(count: int, act: Callable[[], None]) -> None:
    """Call `act` once this number of endless processes run."""
    while len(list(Path.cwd().glob("ready-*"))) < count:
        Event().wait(0.01)
    act()


def test_each_process_runs_to_its_end(capfd: pytest.CaptureFixture[str]) -> None:
    """Every process runs once, its output is kept, and its lines on stderr bear its number."""
    ends = supervisor("print('out'); print('line', file=sys.stderr)").run(3)
    assert ends == [Ended(0, "out\n")] * 3
    assert sorted(capfd.readouterr().err.splitlines()) == ["[1] line", "[2] line", "[3] line"]


def test_each_process_has_its_own_command() -> None:
    """The command is made from the number of the process, which is that of its lines."""
    ends = Supervisor(lambda number: ("echo", f"I am {number}"), Event()).run(3)
    assert ends == [Ended(0, f"I am {number}\n") for number in (1, 2, 3)]


@pytest.mark.parametrize("death", ["os.kill(os.getpid(), signal.SIGKILL)", "sys.exit(1)"])
def test_a_process_that_died_is_restarted(death: str) -> None:
    """Who is killed, or ends by a bug, is replaced, and the others go on."""
    ends = supervisor(f"first and {death}; print('whole')").run(2)
    assert ends == [Ended(0, "whole\n")] * 2


def test_who_dies_again_and_again_is_not_restarted() -> None:
    """After the last restart the process stays down, and the others are stopped."""
    script = f"""
if first:
    os.unlink(os.path.join(sys.argv[1], "first"))
    open("deaths", "a").write("x")
    os.kill(os.getpid(), signal.SIGKILL)
{ENDLESS}"""
    ends = supervisor(script).run(1)
    assert [ended.code for ended in ends] == [-signal.SIGKILL]
    assert len(Path("deaths").read_text()) == 1 + RESTARTS


def test_a_failure_of_one_stops_all() -> None:
    """A process that ends with a failure is not restarted, and the others get SIGTERM."""
    wait = "first and not sum(name.startswith('ready') for name in os.listdir(sys.argv[1])) == 2"
    ends = supervisor(f"while {wait}: pass\nfirst and sys.exit(69)\n{ENDLESS}").run(3)
    assert sorted(ended.code for ended in ends) == [0, 0, 69]


def test_a_stop_reaches_all() -> None:
    """Each process gets SIGTERM once the supervisor is to stop."""
    stop = Event()
    with ThreadPoolExecutor(1) as other:
        done = other.submit(when_ready, 3, stop.set)
        ends = supervisor(ENDLESS, stop).run(3)
        done.result()
    assert [ended.code for ended in ends] == [0, 0, 0]


def test_an_abort_kills_all() -> None:
    """Processes that do not heed SIGTERM end by an abort."""
    stubborn = ENDLESS.replace("lambda *_: sys.exit", "lambda *_: print")
    stop = Event()
    running = supervisor(stubborn, stop)

    def abort() -> None:
        stop.set()
        running.abort()

    with ThreadPoolExecutor(1) as other:
        done = other.submit(when_ready, 2, abort)
        ends = running.run(2)
        done.result()
    assert [ended.code for ended in ends] == [-signal.SIGKILL] * 2


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        ((0, 0), ExitCode.DONE),
        ((75, 0), ExitCode.STOPPED),
        ((75, 69, 0), ExitCode.UNAVAILABLE),
        ((69, 78), ExitCode.MISCONFIGURED),
        ((69, -9), ExitCode.BUG),
        ((75, 1), ExitCode.BUG),
        ((69, 2), 2),
    ],
)
def test_the_worst_exit_code_counts(codes: tuple[int, ...], code: int) -> None:
    """What only a person can correct is worse than an outage, and this worse than a stop."""
    assert worst([Ended(each, "") for each in codes]) == code


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (LOCAL, "only a Kafka topic"),
        (("--source", "kafka://k:1", "--node-id", "7"), "its own node id"),
        (("--source", "kafka://k:1", "--max-messages", "9"), "that of one process"),
    ],
)
def test_what_cannot_be_shared_is_rejected(flags: tuple[str, ...], reason: str) -> None:
    """A file, a fixed node id and a number of records belong to one process."""
    result = voltpay("consume", "--workers", "2", *flags)
    assert result.exit_code == ExitCode.MISCONFIGURED
    assert reason in result.stderr
