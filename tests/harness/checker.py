"""The checker over history: what was produced, what is there now, and what is wrong with it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property, lru_cache

import msgspec
from attrs import field, frozen

from voltpay_adapters.testing.tables import Tables, rows_of
from voltpay_core.codec import (
    ATTEMPT_HEADER,
    CODE_HEADER,
    CONNECT_ERRORS_PREFIX,
    EVENT_ID_HEADER,
    FIRST_FAILED_HEADER,
    Codec,
)
from voltpay_core.ids import PaymentId
from voltpay_core.outcomes import DeadLettered, Decoded, DecodedPayment, WarmedUp, Written
from voltpay_core.payments import DEAD_LETTER_KEY_PREFIX, Payment
from voltpay_core.records import Partition, ProducerRecord, Record, last_header
from voltpay_core.writer import dead_letter_key

Place = tuple[Partition, int]

_payment_id = lru_cache(PaymentId.parse)

BATCHES_IN_HAND = 2
"""Batches that may be written and not acknowledged, if batches overlap."""


@frozen
class History:
    """Everything that can be known afterwards, from memory or from real tables, topics and offsets.

    Attributes:
        produced: Every input record, in the order of its partition.
        published: Every event of every topic; in the order of its topic for each key.
        acknowledged: The next offset of each input partition.
        refused: Accounts whose payments the database refuses; None where that is not known.
        most_repeats: How many of a source partition's records may have been told of again, by
            their batch and by how often something broke; None where that is not known.
        claims_kept: False where claims were purged.
        finished: True where everything must be done: no lag, and an empty outbox.
        ends: Where the partitions end; None where each ends with its last record.
    """

    produced: Sequence[Record]
    tables: Tables
    published: Sequence[ProducerRecord]
    acknowledged: Mapping[Partition, int]
    codec: Codec = field(factory=Codec)
    refused: frozenset[int] | None = frozenset()
    most_repeats: int | None = None
    claims_kept: bool = True
    finished: bool = True
    ends: Mapping[Partition, int] | None = None


def violations(history: History) -> list[str]:
    """Each broken guarantee in a sentence that begins with its name; none where all is well."""
    known = _Known(history)
    return [violation for check in CHECKS for violation in check(known)]


@frozen
class _Told:
    """An event of a payment, and the record whose payment it can only be."""

    event: ProducerRecord
    id: str
    message: DecodedPayment

    @property
    def payment(self) -> Payment:
        return Payment(_payment_id(self.id), self.message.payment)


@frozen(slots=False)
class _Known:
    """A history with its cross-references."""

    history: History

    @property
    def tables(self) -> Tables:
        return self.history.tables

    @cached_property
    def decoded(self) -> dict[Place, Decoded | WarmedUp]:
        decode = self.history.codec.decode
        return {_place(record): decode(record) for record in self.history.produced}

    @cached_property
    def ends(self) -> Mapping[Partition, int]:
        """Where the input partitions end that have records."""
        if self.history.ends is not None:
            return self.history.ends
        found: dict[Partition, int] = {}
        for record in self.history.produced:
            found[record.partition] = max(record.offset + 1, found.get(record.partition, 0))
        return found

    @cached_property
    def messages(self) -> dict[str, list[DecodedPayment]]:
        found = defaultdict(list)
        for item in self.decoded.values():
            if isinstance(item, DecodedPayment):
                found[item.payment.message_id].append(item)
        return found

    @cached_property
    def waiting(self) -> list[ProducerRecord]:
        return [event for row in self.tables.outbox for event in row.events]

    @cached_property
    def letters(self) -> dict[Place | None, list[ProducerRecord]]:
        topic = self.history.codec.topics.dead_letter
        found = defaultdict(list)
        for event in (*self.history.published, *self.waiting):
            if event.topic == topic:
                found[_origin(event)].append(event)
        return found

    @cached_property
    def published(self) -> list[tuple[ProducerRecord, _Told | None]]:
        """Every event of a payment on a topic, with its record if there is one."""
        return self._stories(self.history.published)

    @cached_property
    def stories(self) -> list[tuple[ProducerRecord, _Told | None]]:
        """Those that are published and those that wait in the outbox."""
        return [*self.published, *self._stories(self.waiting)]

    @cached_property
    def told(self) -> list[_Told]:
        return [told for _, told in self.stories if told]

    @cached_property
    def payments(self) -> dict[str, _Told]:
        """Payments by their ids."""
        return {told.id: told for told in self.told}

    @cached_property
    def written(self) -> dict[str, set[str]]:
        """Payment ids by message ids."""
        found = defaultdict(set)
        for told in self.told:
            found[told.message.payment.message_id].add(told.id)
        return found

    def _stories(
        self, events: Iterable[ProducerRecord]
    ) -> list[tuple[ProducerRecord, _Told | None]]:
        dead_letter = self.history.codec.topics.dead_letter
        plain = [_plain(event) for event in events if event.topic != dead_letter]
        told = {event: self._tell(event) for event in dict.fromkeys(plain)}
        return [(event, told[event]) for event in plain]

    def _tell(self, event: ProducerRecord) -> _Told | None:
        try:
            body = msgspec.json.decode(event.value or b"")
            payment_id = _payment_id(body["id"])
            candidates = self.messages.get(body["messageId"], [])
        except (ValueError, KeyError, TypeError):
            return None
        for message in candidates:
            written = Written(message.record, Payment(payment_id, message.payment))
            if event in map(_plain, self.history.codec.events(written)):
                return _Told(event, payment_id.text, message)
        return None


def _rows_are_whole(known: _Known) -> Iterator[str]:
    core, metadata, notes = (
        Counter(row.id for row in rows)
        for rows in (known.tables.core, known.tables.metadata, known.tables.notes)
    )
    for payment_id in core | metadata | notes:
        counts = core[payment_id], metadata[payment_id], notes[payment_id]
        if counts != (1, 1, 1):
            yield f"G1: payment {payment_id} has {counts} rows in core, metadata and notes"


def _rows_say_what_was_stated(known: _Known) -> Iterator[str]:
    for rows in zip(known.tables.core, known.tables.metadata, known.tables.notes, strict=False):
        told = known.payments.get(rows[0].id)
        if told and rows != rows_of(told.payment):
            yield f"G1: payment {told.id} is stored otherwise than it was stated"


def _a_message_is_one_payment(known: _Known) -> Iterator[str]:
    for message_id, ids in known.written.items():
        if len(ids) > 1:
            yield f"G1: message {message_id!r} became {len(ids)} payments"


def _claims_match(known: _Known) -> Iterator[str]:
    claims = set(known.tables.claims)
    letters = {dead_letter_key(known.decoded[place].record) for place in _known_places(known)}
    for claim in claims - known.written.keys():
        if not claim.startswith(DEAD_LETTER_KEY_PREFIX):
            yield f"G6: message {claim!r} is claimed, and there is no payment of it"
        elif claim not in letters:
            yield f"G6: the dead letter {claim} is claimed, and there is none"
    if known.history.claims_kept:
        for claim in (known.written.keys() | letters) - claims:
            yield f"G1: {claim!r} is not claimed, and could be written again"


def _events_have_rows(known: _Known) -> Iterator[str]:
    ids = {row.id for row in known.tables.core}
    for event, told in known.stories:
        if told is None:
            yield f"G2: an event on {event.topic} tells of what nobody produced"
        elif told.id not in ids:
            yield f"G2: an event on {event.topic} tells of payment {told.id}, which has no row"


def _rows_have_events(known: _Known) -> Iterator[str]:
    told = {(item.id, item.event.topic) for item in known.told}
    topics = known.history.codec.topics
    for row in known.tables.core:
        if (row.id, topics.read) not in told:
            yield f"G2: payment {row.id} has no read event"
        wanted = row.status in known.history.codec.email_statuses
        if wanted and (row.id, topics.email) not in told:
            yield f"G2: payment {row.id} has no e-mail event"


def _repeats_are_the_same(known: _Known) -> Iterator[str]:
    first: dict[object, ProducerRecord] = {}
    for event, _ in known.stories:
        event_id = event.topic, last_header(event.headers, EVENT_ID_HEADER)
        if first.setdefault(event_id, event) != event:
            yield f"G2: a repeat on {event.topic} is not the event that it repeats"
    for place, letters in known.letters.items():
        if len({_plain(letter) for letter in letters}) > 1:
            yield f"G6: the record at {_named(place)} is dead-lettered anew"


def _repeats_are_few(known: _Known) -> Iterator[str]:
    if known.history.most_repeats is None:
        return
    times: Counter[tuple[str, str, Place]] = Counter(
        (event.topic, told.id, _place(told.message.record))
        for event, told in known.published
        if told
    )
    dead_letter = known.history.codec.topics.dead_letter
    times.update(
        (dead_letter, "", place)
        for event in known.history.published
        if event.topic == dead_letter and (place := _origin(event))
    )
    again: Counter[tuple[str, Place]] = Counter()
    for (_, payment_id, place), count in times.items():
        again[payment_id, place] = max(count - 1, again[payment_id, place])
    repeats: Counter[Partition] = Counter()
    for (_, (partition, _)), count in again.items():
        repeats[partition] += count
    for partition, count in repeats.items():
        if count > known.history.most_repeats:
            yield (
                f"G2: {count} records of {partition} were told of again,"
                f" and at most {known.history.most_repeats} may be"
            )


def _accounts_keep_their_order(known: _Known) -> Iterator[str]:
    reached: dict[object, int] = {}
    seen: set[tuple[str, str]] = set()
    for event, told in known.published:
        if told is None or (event.topic, told.id) in seen:
            continue
        seen.add((event.topic, told.id))
        record = told.message.record
        if _place(record) in known.letters:
            continue  # it was replayed: a dead letter has lost its place
        line = event.topic, record.partition, told.message.payment.account_id
        if record.offset < reached.get(line, 0):
            yield f"G3: the record at {_named(_place(record))} overtook another on {event.topic}"
        reached[line] = max(record.offset, reached.get(line, 0))


def _dead_letters_are_true(known: _Known) -> Iterator[str]:
    for place, letters in known.letters.items():
        item = known.decoded.get(place) if place else None
        if item is None:
            yield "G4: a dead letter names no record that was produced"
            continue
        for letter in letters:
            if not _is_copy(letter, item.record):
                yield f"G4: the dead letter of {_named(place)} is not what was produced"
        if reason := _falsehood(known, item, letters[0]):
            yield f"G4: the dead letter of {_named(place)} is false: {reason}"


def _falsehood(known: _Known, item: Decoded | WarmedUp, letter: ProducerRecord) -> str | None:
    code = (last_header(letter.headers, CODE_HEADER) or b"").decode()
    refused = known.history.refused
    match item:
        case WarmedUp():
            return "it only warms up"
        case DeadLettered(reason=reason):
            return None if code == reason.code else f"{code} in place of {reason.code}"
        case DecodedPayment(payment=payment):
            if refused is not None and payment.account_id not in refused:
                return f"a good payment ({code})"
            return None


def _records_end(known: _Known) -> Iterator[str]:
    for place, item in known.decoded.items():
        partition, offset = place
        acknowledged = offset < known.history.acknowledged.get(partition, 0)
        ended = _ends(known, place, item)
        if ended > 1:
            yield f"G6: the record at {_named(place)} is a payment and a dead letter"
        if acknowledged and not ended:
            yield f"G5: the record at {_named(place)} is acknowledged, and nothing became of it"
        elif known.history.finished and not ended:
            yield f"G6: nothing became of the record at {_named(place)}"


def _what_is_acknowledged_is_published(known: _Known) -> Iterator[str]:
    published = {told.id for _, told in known.published if told}
    for payment_id, told in known.payments.items():
        partition, offset = _place(told.message.record)
        acknowledged = offset < known.history.acknowledged.get(partition, 0)
        if acknowledged and payment_id not in published:
            yield f"G5: the record at {partition}@{offset} is acknowledged before it was told of"


def _ends(known: _Known, place: Place, item: Decoded | WarmedUp) -> int:
    lettered = place in known.letters
    match item:
        case WarmedUp():
            return 1
        case DeadLettered():
            return int(lettered)
        case DecodedPayment(payment=payment):
            same = known.messages[payment.message_id]
            written = payment.message_id in known.written
            return int(lettered) + written if len(same) == 1 else int(lettered or written)


def _writers_are_fenced(known: _Known) -> Iterator[str]:
    for partition in {told.message.record.partition for told in known.told}:
        row = known.tables.fence.get(partition)
        if row is None or row.epoch < 1:
            yield f"G1: {partition} was written by somebody who never raised its fence"


def _nothing_unheard_of_is_acknowledged(known: _Known) -> Iterator[str]:
    for partition, end in known.ends.items():
        if known.history.acknowledged.get(partition, 0) > end:
            yield f"G5: {partition} is acknowledged beyond its end"


def _all_is_done(known: _Known) -> Iterator[str]:
    if not known.history.finished:
        return
    for partition, end in known.ends.items():
        if known.history.acknowledged.get(partition, 0) < end:
            yield f"G5: {partition} is not acknowledged up to its end"
    if known.tables.outbox:
        yield f"G2: {len(known.tables.outbox)} rows are left in the outbox"


def _nothing_is_empty(known: _Known) -> Iterator[str]:
    for event, told in known.stories:
        fields = msgspec.json.decode(event.value or b"") if told else {}
        if any(value in (None, "") for value in fields.values()):
            yield f"an event on {event.topic} has a field without a value"


CHECKS: Sequence[Callable[[_Known], Iterable[str]]] = (
    _rows_are_whole,
    _rows_say_what_was_stated,
    _a_message_is_one_payment,
    _claims_match,
    _events_have_rows,
    _rows_have_events,
    _repeats_are_the_same,
    _repeats_are_few,
    _accounts_keep_their_order,
    _dead_letters_are_true,
    _records_end,
    _what_is_acknowledged_is_published,
    _writers_are_fenced,
    _nothing_unheard_of_is_acknowledged,
    _all_is_done,
    _nothing_is_empty,
)


def _known_places(known: _Known) -> Iterator[Place]:
    for place in known.letters:
        if place in known.decoded:
            yield place


def _is_copy(letter: ProducerRecord, record: Record) -> bool:
    rewritten = (ATTEMPT_HEADER, FIRST_FAILED_HEADER)
    headers = tuple(header for header in record.headers if header[0] not in rewritten)
    return (
        (letter.key, letter.value) == (record.key, record.value)
        and letter.headers[: len(headers)] == headers
        and letter.timestamp in (None, record.timestamp)
    )


def _origin(letter: ProducerRecord) -> Place | None:
    """The record that a dead letter says it was."""
    topic, number, offset = (
        (last_header(letter.headers, CONNECT_ERRORS_PREFIX + name) or b"").decode(errors="replace")
        for name in ("topic", "partition", "offset")
    )
    if not (number.isdecimal() and offset.isdecimal()):
        return None
    return Partition(topic, int(number)), int(offset)


def _place(record: Record) -> Place:
    return record.partition, record.offset


def _named(place: Place | None) -> str:
    return f"{place[0]}@{place[1]}" if place else "nowhere"


def _plain(event: ProducerRecord) -> ProducerRecord:
    """An event without what the broker chooses."""
    return ProducerRecord(event.topic, event.key, event.value, event.headers)
