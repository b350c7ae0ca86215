"""Lines are read in linear time and bounded memory, from whatever a source may be."""

import fcntl
import os
import pty
import resource
import signal
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, suppress
from io import FileIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.cli import LOCAL, ended, voltpay

from voltpay_adapters.local import reading
from voltpay_adapters.local.reading import LineReader
from voltpay_core.errors import Misconfigured, Unavailable

ENCODINGS = [f"utf-{bits}{order}" for bits in (16, 32) for order in ("", "-le", "-be")]
PAYMENT = '{"messageId":"m-%d","accountId":1,"amount":1,"currency":"EUR","status":2,"type":"BWI"}'


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "CHUNK_BYTES", 4096)


@pytest.fixture
def pipe() -> Iterator[tuple[FileIO, FileIO]]:
    reader, writer = os.pipe()
    with FileIO(reader) as reading_end, FileIO(writer, "w") as writing_end:
        yield reading_end, writing_end


def lines_of(reader: LineReader) -> list[tuple[int, bytes]]:
    found = []
    while not reader.ended:
        found += reader.read(60)
    return found


@given(content=st.binary(), sizes=st.lists(st.integers(1, 9)))
def test_lines_are_those_of_the_content(
    content: bytes, sizes: list[int], pipe: tuple[FileIO, FileIO]
) -> None:
    """In whatever pieces bytes come, the lines are the same, each with the offset behind it."""
    left = content = b"text" + content + b"\n"
    reader, found = LineReader(pipe[0], "pipe"), []
    for size in [*sizes, len(content)]:
        piece, left = left[:size], left[size:]
        pipe[1].write(piece)
        found += reader.read(60) if piece else []
    assert reader.read(0) == []
    assert b"".join(line + b"\n" for _, line in found) == content
    assert [end for end, _ in found] == [n + 1 for n, byte in enumerate(content) if byte == 10]


@pytest.mark.usefixtures("small_chunks")
def test_a_long_line_is_read_in_linear_time(tmp_path: Path) -> None:
    """Reading on in a line costs what comes, not what was read of it before."""
    path = tmp_path / "long"
    path.write_bytes(b"x" * 4096 * 500 + b"\n")
    allocated = 0
    with closing(FileIO(path)) as file:
        reader = LineReader(file, "long", 2**30)
        tracemalloc.start()
        try:
            for _ in range(499):
                before, _ = tracemalloc.get_traced_memory()
                tracemalloc.reset_peak()
                assert reader.read(60) == []
                allocated += tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()
        ((end, line),) = lines_of(reader)
    assert end == len(line) + 1 == 4096 * 500 + 1
    assert allocated < 4 * len(line)


@pytest.mark.usefixtures("small_chunks")
@pytest.mark.parametrize("length", [1001, 5000, 4096 * 100])
@pytest.mark.parametrize("end", [b"\n", b"", b"\nmore\n"])
def test_a_line_that_is_too_long_halts_behind_those_before_it(
    tmp_path: Path, length: int, end: bytes
) -> None:
    """Lines before one that is too long come first; then it is named, and never held whole."""
    path = tmp_path / "long"
    path.write_bytes(b"a\n" + b"y" * 1000 + b"\n" + b"x" * length + end)
    with closing(FileIO(path)) as file:
        reader = LineReader(file, "long", 1000)
        found = []
        for _ in range(9):
            with suppress(Unavailable):
                found += reader.read(60)
        words = "long: the line at byte 1003 has more than 1000 bytes"
        with pytest.raises(Unavailable, match=words) as caught:
            reader.read(60)
        assert (caught.value.halt, caught.value.code) == (True, "line-too-long")
        assert found == [(2, b"a"), (1003, b"y" * 1000)]
        assert file.tell() <= 4096 * 3


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_other_encodings_are_rejected(tmp_path: Path, encoding: str, mark: str) -> None:
    """A file in UTF-16 or UTF-32 is rejected at its first line, with the solution."""
    path = tmp_path / "in.jsonl"
    path.write_bytes((mark + PAYMENT + "\n").encode(encoding))
    refused = pytest.raises(Misconfigured, match="not in UTF-8 but in UTF-16 or UTF-32")
    with closing(FileIO(path)) as file, refused:
        lines_of(LineReader(file, "in.jsonl"))


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    """The mark of UTF-8 is passed over at the beginning alone, and counts for the offsets."""
    path = tmp_path / "in.jsonl"
    path.write_text("one\n\ufefftwo\n", "utf-8-sig")
    with closing(FileIO(path)) as file:
        assert lines_of(LineReader(file, "in.jsonl")) == [(7, b"one"), (14, "\ufefftwo".encode())]


def test_descriptors_may_have_high_numbers(pipe: tuple[FileIO, FileIO]) -> None:
    """A program with thousands of open files reads like any other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 4096), hard))
    try:
        high = fcntl.fcntl(pipe[0], fcntl.F_DUPFD, 2000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    pipe[1].write(b"one\n")
    with FileIO(high) as file:
        assert LineReader(file, "high").read(60) == [(4, b"one")]


def test_reading_that_fails_halts(tmp_path: Path) -> None:
    """What cannot be read any more is the machine's fault."""
    with FileIO(os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)) as file:
        with pytest.raises(Unavailable, match="cannot read file: Bad file descriptor") as caught:
            LineReader(file, "file").read(60)
        assert caught.value.halt


# What a source may name, each tried with the program


def fifo(path: Path, opened: ExitStack) -> None:
    os.mkfifo(path)


def a_socket(path: Path, opened: ExitStack) -> None:
    bound = opened.enter_context(socket.socket(socket.AF_UNIX))
    bound.bind(path.name)  # the working directory is the folder, and addresses are short


def a_link_to(target: str) -> Callable[[Path, ExitStack], None]:
    return lambda path, opened: path.symlink_to(target)


KINDS: dict[str, tuple[Callable[[Path, ExitStack], object], str]] = {
    "a named pipe": (fifo, "not a regular file"),
    "a socket": (a_socket, "not a regular file"),
    "the null device": (a_link_to("/dev/null"), "not a regular file"),
    "zeros without end": (a_link_to("/dev/zero"), "not a regular file"),
    "a device that is full": (a_link_to("/dev/full"), "not a regular file"),
    "a terminal": (a_link_to("/dev/ptmx"), "not a regular file"),
    "a folder": (lambda path, opened: path.mkdir(), "Is a directory"),
    "nothing": (lambda path, opened: None, "No such file"),
    "a link to nothing": (a_link_to("nowhere"), "No such file"),
    "a link to itself": (a_link_to("in.jsonl"), "Too many levels of symbolic links"),
    "a file below a file": (a_link_to("/etc/passwd/x"), "Not a directory"),
    "a name that is too long": (lambda path, opened: None, "File name too long"),
}


@pytest.mark.parametrize(
    ("command", "kind"),
    [
        *((("consume", *LOCAL), kind) for kind in KINDS),
        *((("check", *LOCAL), kind) for kind in KINDS),
        *((("produce",), kind) for kind in KINDS if "nothing" not in kind),  # which it makes
    ],
)
def test_what_is_no_file_is_rejected_at_once(
    folder: Path, command: Sequence[str], kind: str
) -> None:
    """Whatever else than a regular file a source names ends with 78 and words; nothing waits."""
    make, words = KINDS[kind]
    if (command, kind) == (("produce",), "a socket"):
        words = "No such device or address"
    name = "x" * 300 if "too long" in kind else "in.jsonl"
    with ExitStack() as opened:
        make(folder / "in.jsonl", opened)
        result = voltpay(*command, "--source", f"file:{name}")
    assert result.exit_code == 78, result.output
    assert words in result.output
    assert name in result.output


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("redirected", "code", "words"),
    [
        ("< in.jsonl", 0, "written 1,"),
        ("< <(cat in.jsonl)", 0, "written 1,"),
        ("< /dev/null", 0, "written 0,"),
        ("<&-", 78, "cannot read the standard input: Bad file descriptor"),
        ("0>> in.jsonl", 78, "cannot read the standard input: Bad file descriptor"),
    ],
)
def test_whatever_the_standard_input_is(redirected: str, code: int, words: str) -> None:
    """Any standard input is read, or rejected with 78 and a message."""
    Path("in.jsonl").write_text(PAYMENT % 1 + "\n")
    codes, done = ended(redirected, ["consume", *LOCAL, "--source", "file:-"])
    assert codes == [code]
    assert words in (done.stdout + done.stderr).decode()


def a_terminal() -> tuple[int, int]:
    main, terminal = pty.openpty()
    return terminal, main


def a_socket_pair() -> tuple[int, int]:
    one, other = socket.socketpair()
    return one.detach(), other.detach()


@pytest.mark.parametrize("make", [a_terminal, a_socket_pair, os.pipe])
def test_one_signal_ends_waiting_for_input(
    folder: Path, make: Callable[[], tuple[int, int]]
) -> None:
    """Whatever the standard input is, one SIGTERM ends a run that waits for it, with 0."""
    mine, theirs = make()
    with FileIO(mine) as stdin, FileIO(theirs):
        command = [sys.executable, "-m", "voltpay_cli", "consume", *LOCAL, "--source", "file:-"]
        with subprocess.Popen(
            command, cwd=folder, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as running:
            assert running.stderr is not None
            assert any(b"took over" in line for line in running.stderr)
            running.send_signal(signal.SIGTERM)
            assert running.wait(timeout=60) == 0
