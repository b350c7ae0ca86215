"""The laws of the writer as a whole: a source, a database and a publisher joined by the core."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.harness import strategies
from tests.harness.strategies import REFUSED
from tests.harness.world import Fresh, RunOptions, World

from voltpay_adapters.testing.faults import Fault, Faults, crash, unavailable
from voltpay_adapters.testing.tables import Tables
from voltpay_core.codec import CODE_HEADER
from voltpay_core.outcomes import DecodedPayment
from voltpay_core.records import ProducerRecord, Record, last_header

ways = st.builds(
    RunOptions,
    batch_size=strategies.batch_sizes,
    commit_unit=strategies.commit_units,
    late_events=st.booleans(),
)


def core_laws(search: settings) -> type:
    """The laws, each tried on as many examples as the database has the speed for."""

    class CoreLaws:
        @search
        @given(history=strategies.histories(refused=True, astray=True), way=ways, again=st.data())
        def test_reprocessing_changes_nothing(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions, again: st.DataObject
        ) -> None:
            """Processing any part of a history again, in any batches, adds no row and no event."""
            world = a_world(fresh, history)
            world.run(way)
            tables, events = facts(world.tables()), list(world.published)
            for _ in range(again.draw(st.integers(1, 3))):
                for partition, records in world.log.partitions.items():
                    back = again.draw(st.integers(0, len(records)))
                    world.log.acknowledged[partition] = back
                world.run(again.draw(ways))
            assert facts(world.tables()) == tables
            assert world.published == events
            assert world.violations() == []

        @search
        @given(history=strategies.histories(refused=True), way=ways, data=st.data())
        def test_a_prefix_is_a_history(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions, data: st.DataObject
        ) -> None:
            """A history that is produced in parts has the same result as the whole."""
            world = a_world(fresh, [])
            cut = data.draw(st.integers(0, len(history)))
            for part in (history[:cut], history[cut:]):
                world.produce(part)
                world.run(way)
                assert world.violations() == []

        @search
        @given(history=strategies.histories(refused=True), way=ways)
        def test_every_record_has_one_outcome(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions
        ) -> None:
            """Each record is counted once: as payment, duplicate, dead letter or warm-up."""
            world = a_world(fresh, history)
            total = world.run(way)
            letters = dead_letters(world)
            assert total.records == len(history)
            assert total.written == len(world.tables().core)
            assert total.dead_letters == len(letters)
            assert total.events == len(world.published)
            assert world.violations() == []

        @search
        @given(history=strategies.histories(own_ids=True, refused=True), way=ways, other=ways)
        def test_units_of_any_size_end_alike(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions, other: RunOptions
        ) -> None:
            """The sizes of batches and units change neither rows nor events, nor their order."""
            ends = []
            for how in (way, other):
                world = a_world(fresh, history)
                total = world.run(how)
                ends.append((total, substance(world.tables()), stories(world)))
            assert ends[0] == ends[1]

        @search
        @given(
            history=strategies.histories(refused=True),
            way=ways,
            plan=st.dictionaries(
                st.integers(0, 150), st.sampled_from((crash, unavailable)), max_size=6
            ),
        )
        def test_nothing_is_lost_or_doubled(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions, plan: dict[int, Fault]
        ) -> None:
            """After any failures, redelivery gives every record its one outcome."""
            world = a_world(fresh, history)
            world.run(way, Faults(plan))
            assert world.violations() == []

        @search
        @given(history=strategies.histories(), way=ways)
        def test_ids_rise_with_the_order_of_a_partition(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions
        ) -> None:
            """Payment ids are unique, and increase in the order of an account's events."""
            world = a_world(fresh, history)
            world.run(way)
            told: dict[bytes | None, list[bytes]] = {}
            for event in world.published:
                if event.topic == world.codec.topics.read:
                    told.setdefault(event.key, []).append(event.value or b"")
            assert all(values == sorted(values) for values in told.values())
            ids = [row.id for row in world.tables().core]
            assert len(set(ids)) == len(ids)

        @search
        @given(history=strategies.histories(refused=True, own_ids=True), way=ways)
        def test_bisection_isolates_the_rejected(
            self, fresh: Fresh, history: Sequence[Record], way: RunOptions
        ) -> None:
            """Exactly the messages that the database rejects become dead letters with that code."""
            world = a_world(fresh, history)
            world.run(way)
            refused = Counter(
                event.value
                for event in dead_letters(world)
                if last_header(event.headers, CODE_HEADER) == b"refused-by-database"
            )
            decoded = map(world.codec.decode, history)
            assert refused == Counter(
                item.record.value
                for item in decoded
                if isinstance(item, DecodedPayment) and item.payment.account_id == REFUSED
            )
            claims = world.tables().claims
            assert not [claim for claim in claims if claim.startswith(f"{REFUSED}-")]

    return CoreLaws


def a_world(fresh: Fresh, history: Sequence[Record]) -> World:
    """A world with an empty database that rejects one account."""
    world = World(fresh(), refused=frozenset({REFUSED}))
    world.produce(history)
    return world


def facts(tables: Tables) -> object:
    """The rows that nothing may change once they are there."""
    return tables.core, tables.metadata, tables.notes, tables.claims


def substance(tables: Tables) -> object:
    """The rows without the ids that differ from run to run."""
    payments = Counter(
        (core.account_id, core.amount, core.status, notes.comment)
        for core, notes in zip(tables.core, tables.notes, strict=True)
    )
    return payments, tables.claims


def stories(world: World) -> object:
    """What each account's events tell in order, and which records are dead letters, and why."""
    topics = world.codec.topics
    told: dict[object, list[bytes]] = {}
    for event in world.published:
        if event.topic != topics.dead_letter:
            body = event.value or b""
            told.setdefault((event.topic, event.key), []).append(body[body.index(b"messageId") :])
    letters = Counter(
        (event.key, event.value, last_header(event.headers, CODE_HEADER))
        for event in dead_letters(world)
    )
    return {line: [_timeless(body) for body in bodies] for line, bodies in told.items()}, letters


def dead_letters(world: World) -> list[ProducerRecord]:
    return [event for event in world.published if event.topic == world.codec.topics.dead_letter]


def _timeless(body: bytes) -> bytes:
    return body.split(b',"createdAt"')[0]
