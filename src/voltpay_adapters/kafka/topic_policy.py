"""The policy of the four topics: what each setting must be, and for which guarantee."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from attrs import field, frozen

from voltpay_adapters.kafka.requirements import (
    UNLIMITED,
    Requirement,
    Stake,
    at_least,
    at_most,
    exactly,
    roomy,
    without,
)
from voltpay_adapters.kafka.topics import Topic
from voltpay_core.codec import Codec, Topics

KAFKAS_MAX_MESSAGE = 1_048_588
LARGEST = 2**31 - 1
"""The largest size that Kafka's settings accept."""
HOUR = 3_600_000
"""In milliseconds, like all times of topics."""
SEGMENT_HOURS = 1
ANY_TIME = 2**63 - 1
LETTER_ROOM = 16 * 1024
"""Bytes that a dead letter's headers may add."""
EVENT_ROOM = 64 * 1024
"""The largest size of an event, in bytes."""


@frozen
class TopicPolicy:
    """What the guarantees require of the four topics.

    Attributes:
        names: The names of the topics.
        partitions: Partitions of each topic.
        replication: Replicas of each partition.
        retention_hours: How long payments and events are kept, at least.
        dead_letter_retention_hours: How long dead letters are kept, at least.
        value_bytes: The longest value of a payment or event record.
    """

    names: Topics = field(factory=Topics)
    partitions: int = 100
    replication: int = 2
    retention_hours: int = 24
    dead_letter_retention_hours: int = 168
    value_bytes: int = Codec().max_value_bytes

    @property
    def input_retention(self) -> timedelta:
        """The longest time that a new input topic keeps a record: whole segments expire."""
        return timedelta(hours=self.retention_hours + SEGMENT_HOURS)

    def expected_topics(self, longest: int | None = None) -> list[Topic]:
        """The four topics with their requirements, the input topic first.

        Args:
            longest: Bytes of the longest record that the input topic accepts; None stands for
                Kafka's default.
        """
        copies, hours, letter_hours = (
            self.replication,
            self.retention_hours,
            self.dead_letter_retention_hours,
        )
        payments = _lasting("G6", hours, copies, Stake.PAYMENTS)
        events = _lasting("G2", hours, copies, Stake.RECORDS)
        letters = _lasting("G6", letter_hours, copies, Stake.PAYMENTS)
        longest = max(longest or KAFKAS_MAX_MESSAGE, self.value_bytes)
        tables = {
            self.names.writer: [*payments, CLOSED_SOON, *_dated(hours)],
            self.names.read: [*events, *EVENTS_FIT],
            self.names.email: [*events, *EVENTS_FIT],
            self.names.dead_letter: [*letters, *_letters_fit(longest)],
        }
        return [
            Topic(name, self.partitions, self.replication, requirements)
            for name, requirements in tables.items()
        ]


CLOSED_SOON = at_most(
    "segment.ms",
    SEGMENT_HOURS * HOUR,
    "whole segments expire, and claims must be kept for as long (G1)",
)
EVENTS_FIT = [
    roomy("max.message.bytes", EVENT_ROOM, "an event may be as long"),
    roomy("segment.bytes", EVENT_ROOM, "an event may be as long"),
]


def _lasting(
    guarantee: str, hours: int, replication: int, compacted: Stake
) -> Iterable[Requirement]:
    """The requirements that keep the records of any topic."""
    return [
        without(
            "cleanup.policy",
            "compact",
            "compaction deletes all records of an account but the last, and a compacted topic"
            f" rejects a record without a key ({guarantee})",
            compacted,
            value="delete",
        ),
        at_least(
            "retention.ms",
            hours * HOUR,
            f"older records are deleted, even unread ones ({guarantee})",
            Stake.RECORDS,
            endless=True,
        ),
        exactly(
            "retention.bytes",
            UNLIMITED,
            f"under load records are deleted early, even unread ones ({guarantee})",
            Stake.RECORDS,
        ),
        exactly(
            "unclean.leader.election.enable",
            "false",
            f"a replica that lacks acknowledged records may become the leader ({guarantee})",
            Stake.RECORDS,
        ),
        at_least(
            "min.insync.replicas",
            min(2, replication),
            f"a record that only one broker has acknowledged is lost with it ({guarantee})",
            Stake.RECORDS,
        ),
    ]


def _dated(hours: int) -> Iterable[Requirement]:
    """The requirements that keep a record's timestamp, by which it expires, near its arrival."""
    return [
        at_most(
            "message.timestamp.before.max.ms",
            hours * HOUR,
            "a record with an older timestamp expires at once, even unread (G6)",
            Stake.RECORDS,
            unless=[("message.timestamp.type", "LogAppendTime"), ("retention.ms", UNLIMITED)],
        ),
        at_most(
            "message.timestamp.after.max.ms",
            HOUR,
            "a record with a timestamp in the future outlives its claim (G1)",
            unless=[("message.timestamp.type", "LogAppendTime")],
        ),
    ]


def _letters_fit(longest: int) -> Iterable[Requirement]:
    """The requirements to publish each dead letter complete, with its record's timestamp."""
    size = min(longest + LETTER_ROOM, LARGEST)
    longer = "a dead letter has more headers than its record, so it is longer (G4)"
    dated = "a dead letter keeps the timestamp of its record, whatever it is (G4)"
    return [
        at_least("max.message.bytes", size, longer),
        roomy("segment.bytes", size, longer),
        without(
            "compression.type",
            "uncompressed",
            "a compressed record may be too long without compression (G4)",
        ),
        at_least("message.timestamp.before.max.ms", ANY_TIME, dated),
        at_least("message.timestamp.after.max.ms", ANY_TIME, dated),
        exactly("message.timestamp.type", "CreateTime", dated),
    ]
