"""Records are sent in chunks, at a rate, until a stop."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from threading import Event

import pytest
from attrs import define, field

from voltpay_adapters.testing import MemoryPublisher
from voltpay_adapters.testing.sending import CHUNK, send
from voltpay_core.errors import Unavailable
from voltpay_core.ports import Publication
from voltpay_core.records import ProducerRecord


@define
class Recorder:
    """A publisher that writes down what is called, and stops the sending after some chunks."""

    stop: Event = field(factory=Event)
    chunks: int | None = None
    calls: list[str] = field(factory=list)
    sizes: list[int] = field(factory=list)

    def publish(self, events: Sequence[ProducerRecord]) -> Publication:
        self.sizes.append(len(events))
        self.calls.append(f"publish {len(self.sizes)}")
        if len(self.sizes) == self.chunks:
            self.stop.set()
        return Recorded(self, len(self.sizes))

    def reset(self) -> None:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError


@define
class Recorded:
    publisher: Recorder
    number: int

    def wait(self) -> None:
        self.publisher.calls.append(f"wait {self.number}")


def records(number: int) -> list[ProducerRecord]:
    return [ProducerRecord("in", b"1", b"%d" % each) for each in range(number)]


def test_all_records_are_sent_once_and_in_order() -> None:
    """What is sent arrives, and the number that was acknowledged is returned."""
    publisher = MemoryPublisher()
    assert send(publisher, records(2 * CHUNK + 7), Event()) == 2 * CHUNK + 7
    assert publisher.events == records(2 * CHUNK + 7)
    assert send(publisher, [], Event()) == 0


def test_a_chunk_is_sent_before_the_previous_one_is_awaited() -> None:
    """One chunk is on its way while the next is made, and every one is awaited."""
    recorder = Recorder()
    assert send(recorder, records(2 * CHUNK + 7), Event()) == 2 * CHUNK + 7
    assert recorder.sizes == [CHUNK, CHUNK, 7]
    assert recorder.calls == [
        *("publish 1", "publish 2", "wait 1", "publish 3", "wait 2", "wait 3"),
    ]


def test_a_stop_ends_between_two_chunks() -> None:
    """After a stop nothing more is sent, and what was sent is awaited."""
    recorder = Recorder(chunks=2)
    endless = (ProducerRecord("in", b"1", b"%d" % each) for each in count())
    assert send(recorder, endless, recorder.stop) == 2 * CHUNK
    assert recorder.calls[-1] == "wait 2"


@pytest.mark.parametrize(
    ("rate", "size"),
    [(1, 1), (9, 1), (10, 1), (20, 2), (1999, 199), (10_000, CHUNK), (10**6, CHUNK)],
)
def test_a_rate_is_kept_by_a_tenth_of_a_second(rate: int, size: int) -> None:
    """A chunk is what may be sent in a tenth of a second, one record at least."""
    recorder = Recorder(chunks=1)
    assert send(recorder, records(5 * CHUNK), recorder.stop, rate=rate) == size


def test_a_rate_holds_back_what_would_be_too_early() -> None:
    """The time that all records take is at least that of the rate."""
    waits = Waits()
    assert send(MemoryPublisher(), records(5), waits, rate=1) == 5
    assert len(waits.seconds) == 5
    for number, seconds in enumerate(waits.seconds, 1):
        assert max(0, number - 2) <= seconds <= number  # a busy machine has less to wait


class Waits(Event):
    """A stop that passes at once, and writes down how long it should have been waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def wait(self, timeout: float | None = None) -> bool:
        assert timeout is not None
        self.seconds.append(timeout)
        return False


def test_what_is_refused_is_not_sent() -> None:
    """A refused record raises, and is not counted."""
    with pytest.raises(Unavailable):
        send(MemoryPublisher(longest=2), records(1001), Event())
