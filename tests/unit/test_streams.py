"""The standard streams of the program: any encoding, closed, full, and nobody who reads."""

import fcntl
import json
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path
from typing import Any

import pytest
from tests.harness.cli import LOCAL, ended

from voltpay_adapters.local.files import FilePublisher
from voltpay_core.records import ProducerRecord

pytestmark = pytest.mark.usefixtures("folder")

FOREIGN = "Ungültig „42“ 👧 счёт"
NAME = os.fsdecode(b"caf\xe9") + "€"
ENCODINGS = {
    "ASCII": {"PYTHONIOENCODING": "ascii"},
    "Latin-1": {"PYTHONIOENCODING": "latin-1"},
    "Windows": {"PYTHONIOENCODING": "cp1252:strict"},
    "UTF-8": {"PYTHONIOENCODING": "utf-8"},
    "the C locale": {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
}
FOREIGN_COMMANDS = [
    ["dead-letter", "list", "--events", "file:foreign"],
    ["dead-letter", "list", "--events", f"file:{NAME}"],
    ["dead-letter", "list", "--events", "file:foreign", "--output", "json"],
    ["config", "show", "--events", f"file:{FOREIGN}"],
    ["config", "show", "--events", f"file:{NAME}", "--output", "json"],
    ["config", "show", "--config", NAME],
    ["config", "show", "--source", FOREIGN],
    [FOREIGN],
    ["consume", "--" + FOREIGN],
    ["consume", *LOCAL, "--source", f"file:{NAME}/in.jsonl"],
    ["produce", "--source", f"file:{NAME}/in.jsonl", "--count", "3"],
    ["check", *LOCAL, "--events", f"file:{FOREIGN}"],
    ["idempotency", "purge", "--store", f"sqlite:{NAME}/{FOREIGN}.db"],
    ["topics", "check", "--source", f"file:{FOREIGN}"],
    ["db", "status", "--store", f"sqlite:{FOREIGN}"],
    ["demo", f"{NAME}-demo"],
    ["--help"],
]
PRINTING = [
    ["consume", *LOCAL],
    ["config", "show"],
    ["dead-letter", "list", *LOCAL[4:]],
    ["dead-letter", "list", *LOCAL[4:], "--output", "json"],
    ["idempotency", "purge", *LOCAL[2:4]],
    ["produce", "--source", "file:-", "--count", "1"],
    ["check", *LOCAL],
    ["demo"],
    ["--help"],
    ["consume", "--help"],
]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_command_speaks_on_every_terminal(encoding: str) -> None:
    """Characters that a terminal does not have are escaped, whatever command prints them."""
    headers = {"__connect.errors.exception.message": FOREIGN, "voltpay-dlq-code": "bad-json"}
    letter = tuple((name, text.encode()) for name, text in headers.items())
    FilePublisher(Path("foreign")).publish(
        [ProducerRecord("payment_writer_dlq", b"1", b"x", letter)]
    )
    environment = ENCODINGS[encoding] | {"VOLTPAY_UNKNOWN_É": "x"}
    codes, done = ended("", *FOREIGN_COMMANDS, **environment)
    name = environment.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    told = done.stdout.decode(name) + done.stderr.decode(name)
    assert "Traceback" not in told
    assert codes == [0, 0, 0, 0, 0, 78, 78, 2, 2, 78, 78, 78, 78, 78, 78, 0, 0]
    assert FOREIGN.encode(name, "backslashreplace").decode(name) in told
    decoder = json.JSONDecoder()
    listed, _ = decoder.raw_decode(told[told.index('{"counts"') :])
    assert listed["letters"][0]["reason"] == FOREIGN
    shown, _ = decoder.raw_decode(told[told.index('{\n  "source"') :])
    name = shown["events"]["value"].encode("utf-8", "surrogateescape")
    assert name == b"file:" + os.fsencode(NAME)


@pytest.fixture
def letters(folder: Path) -> None:
    """Dead letters to be listed, and one more to be made."""
    FilePublisher(folder / "out").publish([ProducerRecord("payment_writer_dlq", b"1", b"x")])
    Path("in.jsonl").write_text("no payment\n")


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize(
    ("redirected", "reason"),
    [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")],
)
def test_output_that_is_lost_is_reported(redirected: str, reason: str) -> None:
    """Where stdout takes nothing, a command ends with 69 and the reason once, and is no bug."""
    codes, done = ended(redirected, *PRINTING)
    assert codes == [69] * len(PRINTING)
    line = f"voltpay: cannot write to the standard output: {reason}\n"
    assert done.stderr.decode().count(line) == len(PRINTING)
    assert done.returncode == 0  # Python's own last flush has nothing to complain of


@pytest.mark.usefixtures("letters")
def test_a_reader_may_leave() -> None:
    """If the reader closes stdout's pipe, a command ends with 0 and prints no error."""
    codes, done = ended("| true", ["check"], *PRINTING)
    assert codes[1:] == [0] * len(PRINTING)
    assert b"roken" not in done.stderr


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("redirected", ["2> /dev/full", "2>&-", "2> >(true)"])
def test_messages_that_nobody_gets_change_nothing(redirected: str) -> None:
    """Where stderr takes nothing, the work is done and the summary printed all the same."""
    nowhere = ["consume", *LOCAL, "--source", "file:nowhere"]
    codes, done = ended(redirected, nowhere, ["consume", *LOCAL])
    assert codes == [78, 0]
    assert done.stdout.startswith(b"written 0, duplicates 0, dead letters 1, events 1 ")


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("redirected", ["> /dev/full", "| true"])
def test_a_failure_is_not_hidden_by_its_summary(redirected: str) -> None:
    """A run's failure is reported with its own exit code even if the summary cannot be written."""
    Path("out/payment_writer_dlq.jsonl").unlink()
    Path("out/payment_writer_dlq.jsonl").symlink_to("/dev/null")
    codes, done = ended(redirected, ["config", "show"], ["consume", *LOCAL])
    assert codes[1] == 69
    assert b"cannot write to out: it is not a regular file" in done.stderr.splitlines()[-1]


def test_no_file_becomes_a_standard_stream() -> None:
    """Where standard streams are closed, files that are opened later get other numbers."""
    opening = (
        "import os\n"
        "from voltpay_cli.console import streams\n"
        "streams.settle()\n"
        "descriptor = os.open('number', os.O_WRONLY | os.O_CREAT)\n"
        "os.write(descriptor, b'%d' % descriptor)\n"
        "print('to nobody')\n"
    )
    command = ["bash", "-c", '"$@" <&- >&- 2>&-', "bash", sys.executable, "-c", opening]
    subprocess.run(command, check=False)
    assert int(Path("number").read_text()) > 2


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_stream_that_does_not_block_is_waited_for(stream: str) -> None:
    """All is written to a stream that somebody has made non-blocking, however slow its reader."""
    writing = (
        "import sys\n"
        "from voltpay_cli.console import streams\n"
        "streams.settle()\n"
        f"sys.{stream}.write('x' * 1_000_000)\n"
    )
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(reader, "rb") as received, os.fdopen(writer, "wb") as sent:
        redirected: dict[str, Any] = {stream: sent}
        with subprocess.Popen([sys.executable, "-c", writing], **redirected) as running:
            sent.close()
            until_full(reader)
            assert received.read() == b"x" * 1_000_000
        assert running.returncode == 0


def test_progress_is_shown_on_any_terminal(folder: Path) -> None:
    """A live line, its log and what is left of a file are shown on a terminal of only ASCII."""
    Path("grün€.jsonl").write_text("no payment\n")
    main, terminal = pty.openpty()
    with os.fdopen(main, "rb") as shown, os.fdopen(terminal, "wb") as stderr:
        command = ["consume", "--source", "file:grün€.jsonl", *LOCAL[2:]]
        done = subprocess.run(
            [sys.executable, "-m", "voltpay_cli", *command],
            env=os.environ | {"PYTHONIOENCODING": "ascii"},
            stdout=subprocess.PIPE,
            stderr=stderr,
            check=False,
        )
        told = os.read(shown.fileno(), 65536).decode("ascii")
    assert done.returncode == 0
    assert "gr\\xfcn\\u20ac.jsonl" in told
    assert "100 %, 0:00:00" in told


def test_a_stop_may_come_in_the_middle_of_a_message() -> None:
    """A signal that finds stderr in use stops the run, and never breaks it."""
    writing = (
        "import sys\n"
        "from voltpay_cli.console.signals import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    sys.stderr.write('x' * 1_000_000)\n"
        "    print(stop())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", writing], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stderr is not None
        until_full(running.stderr.fileno())
        running.send_signal(signal.SIGTERM)
        printed, told = running.communicate(timeout=60)
    assert (running.returncode, printed) == (0, b"True\n")
    assert b"finishing the batch" in told


def until_full(pipe: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        waiting = fcntl.ioctl(pipe, termios.FIONREAD, struct.pack("i", 0))
        if struct.unpack("i", waiting)[0] >= fcntl.fcntl(pipe, fcntl.F_GETPIPE_SZ):
            return
    pytest.fail("nobody fills the pipe")


def test_a_line_on_stderr_is_there_at_once() -> None:
    """What a process has said before it was killed is not lost in a buffer."""
    script = """
import os, signal, sys
from voltpay_cli.console import streams
streams.settle()
print("last words", file=sys.stderr)
os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (killed.returncode, killed.stderr) == (-signal.SIGKILL, b"last words\n")
