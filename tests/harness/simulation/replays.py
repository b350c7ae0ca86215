"""The dead letters of the simulation, and an operator who sends them back."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress

from attrs import define, field
from tests.harness.simulation.kafka import Group, Member
from tests.harness.simulation.records import CODEC, PARTITIONS, partition_of

from voltpay_adapters.testing.faults import Crash, Faults, FaultyPublisher, FaultySource
from voltpay_adapters.testing.memory import MemoryPublisher
from voltpay_core.codec import ATTEMPT_HEADER, CODE_HEADER, FIRST_FAILED_HEADER, attempts
from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition, ProducerRecord, Record, last_header
from voltpay_core.replaying import replay

MAX_ATTEMPTS = 100
"""More often than any history replays a letter; one letter says that it has failed so often."""


@define(eq=False)
class Replays:
    """The dead-letter topic, and for each code what its replays have acknowledged and sent.

    Attributes:
        topic: Where the replays send letters back to.
        wrong: Called with a sentence where a replay does what it must not do.
    """

    topic: Group
    wrong: Callable[[str], None]
    _letters: dict[Partition, list[Record | None]] = field(init=False)
    _committed: dict[str, dict[Partition, int]] = field(
        factory=lambda: defaultdict(dict), init=False
    )
    _back: list[ProducerRecord] = field(factory=list, init=False)
    _seen: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        name = CODEC.topics.dead_letter
        self._letters = {Partition(name, each.number): [] for each in PARTITIONS}

    def codes(self, published: Sequence[ProducerRecord]) -> list[str]:
        """The codes of all letters that are published by now."""
        for event in published[self._seen :]:
            if event.topic == CODEC.topics.dead_letter:
                partition = Partition(event.topic, event.partition or 0)
                log = self._letters[partition]
                log.append(Record(partition, len(log), 0, event.key, event.value, event.headers))
        self._seen = len(published)
        return sorted(set(map(_code, self._all())))

    def replay(self, code: str, faults: Faults, limit: int | None = None) -> None:
        """Send the letters of that code back, until a fault ends it."""
        due = {
            _sent(letter)
            for letter in self._all()
            if _code(letter) == code and attempts(letter.headers) < MAX_ATTEMPTS
        }

        def acknowledging(partition: Partition, before: int, position: int) -> None:
            done = {_sent(letter) for letter in self._letters[partition][before:position] if letter}
            if not (due & done).issubset(map(_sent, self._back)):
                self.wrong("G4: a replay acknowledges a letter that it has not sent back")

        group = Group(self._letters, acknowledging, self.wrong, self._committed[code])
        member, before = Member(group), len(self._back)
        group.rebalance(dict.fromkeys(self._letters, member))
        with suppress(Crash, Unavailable):
            replay(
                FaultySource(member, faults),
                FaultyPublisher(MemoryPublisher(self._back, prompt=False), faults),
                CODEC.topics.writer,
                None,
                code=code,
                max_attempts=MAX_ATTEMPTS,
                limit=limit,
            )
        for sent in self._back[before:]:
            if _sent(sent) not in due:
                self.wrong("G4: a replay sends what is no letter of its code")
            place = partition_of(sent.key)
            self.topic.append(Record(place, 0, 0, sent.key, sent.value, sent.headers), place)

    def _all(self) -> list[Record]:
        return [letter for log in self._letters.values() for letter in log if letter]


def _code(letter: Record) -> str:
    return (letter.header(CODE_HEADER) or b"").decode()


def _sent(letter: Record | ProducerRecord) -> object:
    """What a letter and its replay have in common."""
    kept = (last_header(letter.headers, each) for each in (ATTEMPT_HEADER, FIRST_FAILED_HEADER))
    return letter.key, letter.value, *kept
