"""The contract of an event publisher."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import pytest
from attrs import evolve

from voltpay_core.ports import EventPublisher
from voltpay_core.records import ProducerRecord


class EventsHarness(Protocol):
    """Empty topics of a test's own."""

    @property
    def topics(self) -> Sequence[str]:
        """The names of two topics, or more."""

    def open(self) -> EventPublisher:
        """A new publisher; the harness closes what a test leaves open."""

    def read(self, topic: str, count: int) -> Sequence[ProducerRecord]:
        """All that is in a topic, once that many events are; in order for each key."""


class EventsContract:
    """The laws of a publisher, for a subclass with a fixture ``harness``."""

    def test_what_is_awaited_is_there(self, harness: EventsHarness) -> None:
        """After the wait every event is in its topic, whole and in order, and in no other one."""
        one, two = harness.topics[:2]
        sent = [event(topic, number) for number in range(50) for topic in (one, two)]
        harness.open().publish(sent).wait()
        for topic in (one, two):
            expected = [item for item in sent if item.topic == topic]
            assert contents(harness.read(topic, 50)) == contents(expected)

    @pytest.mark.parametrize("content", [b"", b"\xff\x00\n\r", "é\n".encode(), None])
    def test_bytes_are_untouched(self, harness: EventsHarness, content: bytes | None) -> None:
        """Key, value, headers and a timestamp that is given stay as they are, byte for byte."""
        (topic, *_) = harness.topics
        sent = ProducerRecord(
            topic, content, content, (("a", b"\xff"), ("b", b"x")), timestamp=1_700_000_000_123
        )
        harness.open().publish([sent]).wait()
        (found,) = harness.read(topic, 1)
        assert (found.key, found.value) == (content, content)
        assert sorted(found.headers) == [("a", b"\xff"), ("b", b"x")]
        assert found.timestamp == 1_700_000_000_123

    @pytest.mark.parametrize("timestamp", [0, 1, -1, 1_700_000_000_123])
    def test_a_timestamp_is_kept(self, harness: EventsHarness, timestamp: int) -> None:
        """Any timestamp that an event has is its record's: the epoch too, and Kafka's -1."""
        (topic, *_) = harness.topics
        times = [timestamp, 1_700_000_000_000]
        harness.open().publish(
            [ProducerRecord(topic, b"k", b"v", timestamp=time) for time in times]
        ).wait()
        assert [found.timestamp for found in harness.read(topic, 2)] == times

    def test_headers_keep_repeats_and_nulls(self, harness: EventsHarness) -> None:
        """A dead letter's headers stay untouched: repeated names, null values and their order."""
        (topic, *_) = harness.topics
        headers = (("a", b"1"), ("b", None), ("a", b"\xff"), ("a", None), ("c", b""), ("a", b"1"))
        harness.open().publish([ProducerRecord(topic, b"k", b"v", headers)]).wait()
        (found,) = harness.read(topic, 1)
        assert found.headers == headers

    def test_publications_follow_one_another(self, harness: EventsHarness) -> None:
        """What is sent later comes later, whether or not the earlier was awaited in between."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        sent = [event(topic, number) for number in range(30)]
        first = publisher.publish(sent[:10])
        second = publisher.publish(sent[10:20])
        second.wait()
        first.wait()
        publisher.publish(sent[20:]).wait()
        assert contents(harness.read(topic, 30)) == contents(sent)

    def test_waiting_twice_is_waiting_once(self, harness: EventsHarness) -> None:
        """A publication that is done stays done."""
        (topic, *_) = harness.topics
        publication = harness.open().publish([event(topic, 1)])
        publication.wait()
        publication.wait()
        assert len(harness.read(topic, 1)) == 1

    def test_nothing_is_published_at_once(self, harness: EventsHarness) -> None:
        """No events are done as soon as they are sent."""
        harness.open().publish([]).wait()
        assert list(harness.read(harness.topics[0], 0)) == []

    def test_a_publisher_goes_on_after_a_reset(self, harness: EventsHarness) -> None:
        """A reset loses nothing that was awaited, and what is sent after it arrives behind that."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.reset()
        publisher.publish([event(topic, 1)]).wait()
        publisher.reset()
        publisher.publish([event(topic, 2)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 2)])

    def test_publishers_share_their_topics(self, harness: EventsHarness) -> None:
        """What one publisher sent stays when another one sends."""
        (topic, *_) = harness.topics
        harness.open().publish([event(topic, 1)]).wait()
        harness.open().publish([event(topic, 2)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 2)])


def event(topic: str, number: int) -> ProducerRecord:
    """An event of the one account whose order counts."""
    return ProducerRecord(
        topic, b"4711", b'{"number":%d}' % number, (("event-id", b"%d" % number),), 0
    )


def contents(events: Sequence[ProducerRecord]) -> list[ProducerRecord]:
    """What publisher and reader must agree upon; the broker chooses partition and time."""
    return [evolve(item, partition=None, timestamp=None) for item in events]
