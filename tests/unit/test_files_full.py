"""With a full disk nothing is lost, doubled or partial, and the reason is reported."""

import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness.cli import voltpay
from tests.harness.sqlite import SqliteHarness

from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher, read_events
from voltpay_adapters.local.lines import envelope
from voltpay_cli.exit_codes import ExitCode
from voltpay_core.errors import Unavailable
from voltpay_core.records import ProducerRecord, last_header

COUNT, BATCH = 60, 7


@contextmanager
def no_file_above(size: int) -> Iterator[None]:
    """The kernel lets no file of this process grow beyond that many bytes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def some(topic: str, count: int) -> list[ProducerRecord]:
    return [ProducerRecord(topic, b"k", b"%d" % number * 40) for number in range(count)]


@given(size=st.integers(0, 9000))
@settings(max_examples=40)
def test_events_are_appended_all_or_none(size: int, tmp_path: Path) -> None:
    """Where the disk fills up in a batch, no file has anything of it, and later all of it."""
    for path in tmp_path.iterdir():
        path.unlink()
    events = FilePublisher(tmp_path)
    before, batch = some("a", 5), [*some("b", 5), *some("a", 50), *some("c", 5)]
    events.publish(before)
    with no_file_above(size):
        full = failure(lambda: events.publish(batch))
    if full is not None:
        assert full.halt
        assert str(full) == f"cannot write to {tmp_path}: File too large"
        sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
        assert sizes.pop("a.jsonl") == sum(len(envelope(event)) + 1 for event in before)
        assert not any(sizes.values())
        events.publish(batch)
    for topic in "abc":
        published = [event for event in (*before, *batch) if event.topic == topic]
        assert read_events(tmp_path / f"{topic}.jsonl") == published


def failure(act: Callable[[], object]) -> Unavailable | None:
    try:
        act()
    except Unavailable as failed:
        return failed
    return None


def test_payments_are_appended_all_or_none(tmp_path: Path) -> None:
    """What could not be produced leaves the file as it was, though it ends without a newline."""
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"mine")
    payments = PaymentFilePublisher(str(path))
    with (
        no_file_above(500),
        pytest.raises(Unavailable, match=r"in\.jsonl: File too large") as caught,
    ):
        payments.publish(some("t", 20))
    assert caught.value.halt
    assert path.read_bytes() == b"mine"
    payments.publish(some("t", 20))
    assert len(path.read_bytes().splitlines()) == 21


def produce() -> None:
    produced = voltpay(
        *("produce", "--source", "file:in.jsonl", "--count", str(COUNT), "--seed", "5"),
        *("--poison", "0.2"),
    )
    assert produced.exit_code == 0


def check_run_is_whole() -> None:
    """Everything was written once and published; at most one batch was published twice."""
    with closing(SqliteHarness("disk/voltpay.db")) as harness:
        written = len(harness.tables().core)
    letters = read_events(Path("disk/out/payment_writer_dlq.jsonl"))
    told = read_events(Path("disk/out/payment_read_topic.jsonl"))
    places = {last_header(letter.headers, "__connect.errors.offset") for letter in letters}
    ids = {last_header(event.headers, "event-id") for event in told}
    assert len(ids) == written
    assert len(places) + written == COUNT
    assert len(letters) + len(told) <= COUNT + BATCH


ON_DISK = (
    *("consume", "--source", "file:in.jsonl", "--store", "sqlite:disk/voltpay.db"),
    *("--events", "file:disk/out", "--batch-size", str(BATCH)),
)


@pytest.mark.parametrize("size", [0, 1, 100, 4096, 5000, 12_000, 32_768, 40_000, 70_000, 150_000])
def test_a_run_on_a_disk_that_fills_up(folder: Path, size: int) -> None:
    """At any limit of file sizes, a run ends with 0, or with 69 and the reason."""
    produce()
    Path("disk").mkdir()
    with no_file_above(size):
        result = voltpay(*ON_DISK)
    assert result.exit_code in {ExitCode.DONE, ExitCode.UNAVAILABLE}, result.exception
    if result.exit_code:
        assert any(words in result.stderr for words in ("too large", "SQLite: disk/voltpay.db: "))
    assert voltpay(*ON_DISK).exit_code == 0
    check_run_is_whole()


@contextmanager
def small_disk(kilobytes: int) -> Iterator[Callable[[int], None]]:
    """A file system of its own under ``disk``, and what makes it larger."""
    Path("disk").mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", "disk"]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("nothing may be mounted here: the limit of file sizes stands in for it")

    def enlarge(more: int) -> None:
        subprocess.run(["mount", "-o", f"remount,size={more}k", "disk"], check=True)

    try:
        yield enlarge
    finally:
        subprocess.run(["umount", "--lazy", "disk"], check=True)


@pytest.mark.parametrize("kilobytes", [4, 8, 36, 60, 100, 140, 180, 240, 320])
def test_a_run_on_a_small_file_system(folder: Path, kilobytes: int) -> None:
    """On a full file system a run ends with 69; with free space the next run continues."""
    produce()
    with small_disk(kilobytes) as enlarge:
        result = voltpay(*ON_DISK)
        assert result.exit_code in {ExitCode.DONE, ExitCode.UNAVAILABLE}, result.exception
        if result.exit_code:
            assert any(words in result.stderr for words in ("No space left", "SQLite: disk/"))
        enlarge(4096)
        assert voltpay(*ON_DISK).exit_code == 0
        check_run_is_whole()
