"""A file is continued at its position, whatever happened to the process and to the file."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from voltpay_adapters.local.files import FilePublisher, read_events
from voltpay_adapters.local.reading import BEGINNING_BYTES
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_core.codec import Codec, Topics
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.errors import Unavailable
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import Tally
from voltpay_core.ports import BeginUnitOfWork, EventPublisher, Publication
from voltpay_core.records import ProducerRecord

PAYMENT = (
    b'{"messageId": "%d", "accountId": 1, "amount": 1, "currency": "EUR", "status": 2,'
    b' "type": "BWI"}\n'
)


class Killed(BaseException):
    """The process dies here."""


class DeadPublisher:
    """A process that is killed as soon as it would publish."""

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        raise Killed

    def reset(self) -> None:
        """Nothing was sent."""

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def payments(tmp_path: Path) -> Path:
    path = tmp_path / "payments.jsonl"
    path.write_bytes(b"".join(PAYMENT % number for number in range(20)) + b"no payment\n")
    return path


def test_a_finished_file_has_nothing_new(payments: Path) -> None:
    """A second run over the same file continues after its end."""
    assert consume(payments).written == 20
    assert consume(payments) == Tally()


def test_a_grown_file_adds_its_growth(payments: Path) -> None:
    """Of a file that has grown between runs the growth is read, and nothing else."""
    consume(payments)
    for _ in range(2):
        grow(payments)
        assert consume(payments).records == 1
    assert len(published(payments, Topics().read)) == 21
    assert len(published(payments, Topics().dead_letter)) == 1


def test_what_a_killed_run_left_is_published_though_the_file_has_grown(payments: Path) -> None:
    """Committed events of a file reach their topics, whatever became of the file meanwhile."""
    with pytest.raises(Killed):
        consume(payments, DeadPublisher())
    grow(payments)
    consume(payments)
    assert len(published(payments, Topics().read)) == 21
    assert len(published(payments, Topics().email)) == 21
    assert len(published(payments, Topics().dead_letter)) == 1


def test_other_content_under_the_same_path_is_read_whole(payments: Path) -> None:
    """A file that was replaced is read from its first byte."""
    consume(payments)
    payments.write_bytes(b"".join(PAYMENT % number for number in range(100, 130)))
    assert consume(payments).written == 30


def consume(payments: Path, publisher: EventPublisher | None = None) -> Tally:
    """Everything that is left of the file, as a process of its own would."""
    codec = Codec()
    with opened(payments) as (begin, source, events):
        consumer = PaymentConsumer(
            source=source,
            begin=begin,
            publisher=publisher or events,
            codec=codec,
            ids=PaymentIdGenerator(lambda: time.time_ns() // 1_000_000),
            now=lambda: datetime.now(UTC),
            retry=lambda act: act(),
        )
        return consumer.run(lambda: False, until_drained=True)


@contextmanager
def opened(payments: Path) -> Iterator[tuple[BeginUnitOfWork, FileSource, FilePublisher]]:
    with (
        closing(SqliteDatabase(str(payments.with_name("voltpay.db")))) as database,
        closing(FileSource(str(payments), database.begin)) as source,
        closing(FilePublisher(payments.with_name("out"))) as events,
    ):
        yield database.begin, source, events


def test_a_file_that_was_read_before_its_last_newline_goes_on(payments: Path) -> None:
    """A last line without a newline is a record, and what comes behind its newline the next."""
    payments.write_bytes(payments.read_bytes().rstrip(b"\n"))
    assert consume(payments).records == 21
    payments.write_bytes(payments.read_bytes() + b"\n" + PAYMENT % 99)
    assert consume(payments).records == 1


def test_a_last_line_that_has_grown_is_read_again(payments: Path) -> None:
    """A line that was read while it was being written is read whole once it is complete."""
    whole = payments.read_bytes() + PAYMENT % 98
    payments.write_bytes(whole[:-30])
    assert consume(payments).records == 22
    payments.write_bytes(whole + PAYMENT % 99)
    assert consume(payments) == Tally(written=2, events=4)
    assert consume(payments) == Tally()


def test_a_file_that_was_cut_halts(payments: Path) -> None:
    """If a file ends before the acknowledged offset, the run halts."""
    with payments.open("ab") as file:
        file.write(b"".join(PAYMENT % number for number in range(1000, 2000)))
    consume(payments)
    payments.write_bytes(payments.read_bytes()[:BEGINNING_BYTES])
    with pytest.raises(Unavailable, match=r"it was cut\. Copy it to another path") as caught:
        consume(payments)
    assert caught.value.halt
    copied = payments.rename(payments.with_name("copy.jsonl"))
    assert consume(copied).written == 0


@pytest.mark.parametrize("cut", [0, 50, None])
def test_a_file_that_is_changed_while_it_is_read_halts(payments: Path, cut: int | None) -> None:
    """A file that is replaced or cut while it is read halts; the next run reads all of it."""
    others = b"".join(PAYMENT % number for number in range(100, 150))
    with opened(payments) as (_, source, _events):
        source.seek_to_committed(source.poll(1).assigned)
        source.acknowledge(source.poll(100).positions)
        payments.write_bytes(others[:cut])
        with pytest.raises(Unavailable, match="was changed while it was read") as caught:
            read_to_the_end(source)
        assert caught.value.halt
    payments.write_bytes(others)
    assert consume(payments).written == 50


def read_to_the_end(source: FileSource) -> None:
    while not source.drained():
        if positions := source.poll(100).positions:
            source.acknowledge(positions)


def test_a_file_that_is_replaced_while_it_is_read_is_read_to_its_end(payments: Path) -> None:
    """Who replaces a file by another leaves the reader what it has; the next run reads the new."""
    with opened(payments) as (_, source, _events):
        source.seek_to_committed(source.poll(1).assigned)
        payments.rename(payments.with_name("old.jsonl"))
        payments.write_bytes(PAYMENT % 100)
        polled = source.poll(100)
        assert len(polled.records) == 21
        source.acknowledge(polled.positions)
        assert not source.poll(100).records
        assert source.drained()
    assert consume(payments).records == 1


def grow(payments: Path) -> None:
    with payments.open("ab") as file:
        file.write(PAYMENT % 99)


def published(payments: Path, topic: str) -> Sequence[ProducerRecord]:
    return read_events(payments.with_name("out") / f"{topic}.jsonl")
