"""The four topics and the dead letters in them, by the settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path

from voltpay_adapters.kafka import topics
from voltpay_adapters.kafka.browsing import browse
from voltpay_adapters.kafka.requirements import Stake, whole_number
from voltpay_adapters.kafka.source import KafkaSource
from voltpay_adapters.kafka.topics import Difference, Topic
from voltpay_adapters.local.files import read_events
from voltpay_cli.connections import is_kafka, kafka_connection, required
from voltpay_cli.settings import Settings
from voltpay_cli.wanted_topics import SEGMENT_HOURS, wanted_topics
from voltpay_core.errors import Misconfigured
from voltpay_core.ports import MessageSource
from voltpay_core.records import Partition, ProducerRecord, Record


def clusters(settings: Settings, longest: int | None = None) -> dict[str, list[Topic]]:
    """The topics by the Kafka cluster, as a URL, that is to have them.

    Raises:
        Misconfigured: Neither source nor events are on Kafka.
    """
    source, events = settings.source, settings.events or settings.source
    input_topic, *output_topics = wanted_topics(settings, longest)
    placed: dict[str, list[Topic]] = {}
    for url, found in ((source, [input_topic]), (events, output_topics)):
        if url and is_kafka(url):
            placed.setdefault(url, []).extend(found)
    if not placed:
        raise Misconfigured(
            "nothing says where the topics are: give --source kafka://host:port, or VOLTPAY_SOURCE"
        )
    return placed


def create(settings: Settings) -> list[str]:
    """Make what is missing, and return the names: the input topic first, whose limits count.

    Raises:
        Misconfigured: Neither source nor events are on Kafka.
        Unavailable: Kafka cannot be reached, or does not permit it.
    """
    made = [
        name
        for url, found in clusters(settings).items()
        for name in topics.create(
            kafka_connection(settings, url),
            [topic for topic in found if topic.name == settings.topics.writer],
        )
    ]
    for url, found in clusters(settings, _longest(settings)).items():
        made += topics.create(kafka_connection(settings, url), found)
    return made


def find_drift(settings: Settings) -> list[Difference]:
    """What is other than the settings and the guarantees want it.

    Raises:
        Misconfigured: Neither source nor events are on Kafka.
        Unavailable: Kafka cannot be reached, or does not permit it.
    """
    return [
        difference
        for url, found in clusters(settings, _longest(settings)).items()
        for difference in topics.find_drift(kafka_connection(settings, url), found)
    ]


def losses(settings: Settings) -> list[str]:
    """Differences by which records may vanish, and topics of which that is not known.

    Raises:
        Misconfigured: Payments vanish though nothing else goes wrong.
        Unavailable: Kafka cannot be reached.
    """
    found: list[Difference] = []
    untold: list[str] = []
    for url, on_cluster in clusters(settings).items():
        names = [topic.name for topic in on_cluster]
        known = topics.configurations(kafka_connection(settings, url), names)
        untold += [name for name in names if not known[name]]
        found += topics.compare([topic for topic in on_cluster if known[topic.name]], known)
    if fatal := [str(one) for one in found if one.stake is Stake.PAYMENTS]:
        raise Misconfigured("; ".join(fatal))
    return [
        *(str(one) for one in found if one.stake is Stake.RECORDS),
        *(f"{name} is not checked: {topics.UNTOLD}" for name in untold),
    ]


def input_retention(settings: Settings) -> timedelta:
    """How long the input topic keeps its records at most: what Kafka says, or else the settings.

    Raises:
        Unavailable: Kafka cannot be reached.
    """
    source = settings.source
    if not (source and is_kafka(source)):
        return timedelta(hours=settings.topics.retention_hours + SEGMENT_HOURS)
    found = topics.retention(kafka_connection(settings, source), settings.topics.writer)
    return timedelta.max if found is None else found


def dead_letters(settings: Settings, group: str | None = None) -> Iterator[Record]:
    """The dead letters that are there now; a group leaves out what it has acknowledged.

    Raises:
        Misconfigured: Nothing says where they are.
        Unavailable: Kafka cannot be reached.
    """
    (url,) = required(settings, "events")
    topic = settings.topics.dead_letter
    if is_kafka(url):
        yield from browse(kafka_connection(settings, url), topic, group)
        return
    path = Path(url.removeprefix("file:"), f"{topic}.jsonl")
    for number, event in enumerate(read_events(path) if path.exists() else []):
        yield _record(event, number)


def _longest(settings: Settings) -> int | None:
    """Bytes of the longest record that the input topic takes, as far as Kafka tells."""
    source, name = settings.source, settings.topics.writer
    if not (source and is_kafka(source)):
        return None
    known = topics.configurations(kafka_connection(settings, source), [name])[name]
    return whole_number(known.get("max.message.bytes", ""))


@contextmanager
def dead_letter_source(settings: Settings, code: str) -> Iterator[MessageSource]:
    """The dead-letter topic, by the group that replays this code."""
    (url,) = required(settings, "events")
    if not is_kafka(url):
        name = f"{settings.topics.dead_letter}.jsonl"
        raise Misconfigured(
            f"dead letters in files are replayed by consuming a copy of them: copy {name},"
            " mend what is to be mended, and name the copy as the --source of voltpay consume"
        )
    source = KafkaSource(
        kafka_connection(settings, url),
        settings.topics.dead_letter,
        replay_group(settings, code),
        bounded=True,  # what fails again while it is replayed is for the next replay
        skip_expired=True,
    )
    with closing(source):
        yield source


def replay_group(settings: Settings, code: str) -> str:
    """The consumer group of a code's replays: no code skips another's letters."""
    return f"{settings.group}-replay-{code}"


def _record(event: ProducerRecord, number: int) -> Record:
    place = Partition(event.topic, 0)
    return Record(place, number, event.timestamp, event.key, event.value, event.headers)
