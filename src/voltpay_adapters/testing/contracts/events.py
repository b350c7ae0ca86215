"""The contract of an event publisher."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import pytest
from attrs import evolve, frozen

from voltpay_core.codec import Codec, Topics
from voltpay_core.errors import Rejected, Unavailable
from voltpay_core.outcomes import DeadLettered
from voltpay_core.ports import EventPublisher, Publication
from voltpay_core.records import Partition, ProducerRecord, Record


class EventsHarness(Protocol):
    """Empty topics of a test's own."""

    @property
    def topics(self) -> Sequence[str]:
        """The names of two topics, or more."""

    def open(self) -> EventPublisher:
        """A new publisher; the harness closes what a test leaves open."""

    def read(self, topic: str, count: int) -> Sequence[ProducerRecord]:
        """All that is in a topic, once that many events are; in order for each key."""

    def outage(self, topic: str) -> AbstractContextManager[None]:
        """While it lasts nothing arrives in the topic and nothing there is acknowledged."""


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
        """The record has the timestamp of the event, also 0 and Kafka's -1."""
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
        """Publications keep their order, whether or not each is awaited before the next one."""
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
        """A reset loses no awaited event, and later events arrive behind them."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.reset()
        publisher.publish([event(topic, 1)]).wait()
        publisher.reset()
        publisher.publish([event(topic, 2)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 2)])

    def test_publishers_share_their_topics(self, harness: EventsHarness) -> None:
        """Events of one publisher stay when another one publishes."""
        (topic, *_) = harness.topics
        harness.open().publish([event(topic, 1)]).wait()
        harness.open().publish([event(topic, 2)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 2)])

    def test_what_is_not_acknowledged_is_not_published(self, harness: EventsHarness) -> None:
        """A missing acknowledgement raises `Unavailable`, each time it is awaited."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.publish([event(topic, 1)]).wait()
        with harness.outage(topic):
            sent = attempt(publisher, [event(topic, 2)])
            for _ in range(2):
                with pytest.raises(Unavailable):
                    sent.wait()
            publisher.reset()
        with pytest.raises(Unavailable):
            sent.wait()
        assert contents(harness.read(topic, 1)) == contents([event(topic, 1)])

    @pytest.mark.parametrize("awaited", [True, False])
    def test_nothing_dropped_comes_behind_what_follows(
        self, harness: EventsHarness, awaited: bool
    ) -> None:
        """Events that a reset drops never arrive behind later events, awaited or not."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.publish([event(topic, 1)]).wait()
        with harness.outage(topic):
            dropped = [attempt(publisher, [event(topic, number)]) for number in (2, 3)]
            if awaited:
                with pytest.raises(Unavailable):
                    dropped[0].wait()
            publisher.reset()
        later = [event(topic, number) for number in (2, 3, 4)]
        publisher.publish(later).wait()
        assert contents(harness.read(topic, 4)) == contents([event(topic, 1), *later])

    def test_who_closes_drops_what_waits(self, harness: EventsHarness) -> None:
        """Events that a closed publisher held never arrive behind those of another one."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.publish([event(topic, 1)]).wait()
        with harness.outage(topic):
            attempt(publisher, [event(topic, 2)])
            publisher.close()
        harness.open().publish([event(topic, 3)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 3)])

    def test_a_dead_letter_keeps_every_header(self, harness: EventsHarness) -> None:
        """A letter has the headers of its record, earlier reasons too, and its own behind them."""
        (topic, *_) = harness.topics
        earlier = (
            ("__connect.errors.topic", b"earlier"),
            ("__connect.errors.class.name", b"java.lang.Error"),
            ("voltpay-dlq-code", b"bad-json"),
            ("traceparent", b"00-1"),
        )
        record = Record(Partition("payments", 0), 7, 1_700_000_000_000, b"1", b"x", earlier)
        codec = Codec(Topics(dead_letter=topic))
        letter = DeadLettered(record, Rejected("bad-json", "no JSON"))
        harness.open().publish([codec.dead_letter(letter, datetime.now(UTC))]).wait()
        (found,) = harness.read(topic, 1)
        assert found.headers[:4] == earlier
        assert ("__connect.errors.topic", b"payments") in found.headers[4:]
        assert ("__connect.errors.offset", b"7") in found.headers[4:]
        assert (found.key, found.value, found.timestamp) == (b"1", b"x", 1_700_000_000_000)


class RefusalsHarness(EventsHarness, Protocol):
    """Topics that reject a record that is too long, after it was sent."""

    @property
    def longest(self) -> int:
        """Bytes of a record, at most."""


class RefusalsContract:
    """The laws of a publisher whose topics may reject a record that was sent."""

    def test_what_is_refused_stays_refused(self, harness: RefusalsHarness) -> None:
        """A publication that has failed fails again each time it is awaited, reset or not."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        publisher.publish([event(topic, 1)]).wait()
        long = evolve(event(topic, 2), value=b"x" * (2 * harness.longest))
        refused = publisher.publish([long])
        for _ in range(3):
            with pytest.raises(Unavailable):
                refused.wait()
        publisher.reset()
        with pytest.raises(Unavailable):
            refused.wait()
        publisher.publish([event(topic, 3)]).wait()
        assert contents(harness.read(topic, 2)) == contents([event(topic, 1), event(topic, 3)])

    def test_an_earlier_publication_is_done_all_the_same(self, harness: RefusalsHarness) -> None:
        """An acknowledged publication stays acknowledged if a later record is rejected."""
        (topic, *_) = harness.topics
        publisher = harness.open()
        first = publisher.publish([event(topic, 1)])
        first.wait()
        long = evolve(event(topic, 2), value=b"x" * (2 * harness.longest))
        with pytest.raises(Unavailable):
            publisher.publish([long]).wait()
        first.wait()
        publisher.reset()
        first.wait()


def attempt(publisher: EventPublisher, records: Sequence[ProducerRecord]) -> Publication:
    """Publish what cannot be acknowledged; a publisher may say so at once."""
    try:
        return publisher.publish(records)
    except Unavailable as failure:
        return Failed(failure)


@frozen
class Failed:
    """A publication that its publisher did not take."""

    _failure: Unavailable

    def wait(self) -> None:
        """Fail again."""
        raise self._failure


def event(topic: str, number: int) -> ProducerRecord:
    """An event of the one account whose order counts."""
    return ProducerRecord(
        topic, b"4711", b'{"number":%d}' % number, (("event-id", b"%d" % number),), 0
    )


def contents(events: Sequence[ProducerRecord]) -> list[ProducerRecord]:
    """What publisher and reader must agree upon; the broker chooses partition and time."""
    return [evolve(item, partition=None, timestamp=None) for item in events]
