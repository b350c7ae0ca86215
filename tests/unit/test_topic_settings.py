"""The requirements of topic settings, for any values."""

import re
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.kafka.requirements import Stake
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.kafka.topics import compare, kept

LONGEST = 3_000_000
TOPICS = {topic.name: topic for topic in TopicPolicy().expected_topics(LONGEST)}
WRITER, READ, EMAIL, LETTERS = TOPICS
DEFAULTS = {
    "compression.type": "producer",
    "max.message.bytes": "1048588",
    "message.timestamp.type": "CreateTime",
    "segment.bytes": "1073741824",
}
EXTREMES = ("", "-1", "0", str(2**31), str(2**63 - 1), str(-(2**63)), "9" * 5000, "1e9", "None")
values = st.sampled_from(EXTREMES) | st.integers().map(str) | st.text(max_size=8)
names = sorted({r.name for topic in TOPICS.values() for r in topic.requirements} | {"segment.ms"})
configurations = st.dictionaries(st.sampled_from(names), values)


def right(topic: str) -> dict[str, str]:
    """The configuration of a new topic, on brokers with Kafka's own defaults."""
    return DEFAULTS | {r.name: r.value for r in TOPICS[topic].requirements if r.value}


def find_drift(topic: str, configuration: dict[str, str]) -> dict[str, Stake]:
    """What is wrong with a configuration: the sentences, and what is at stake."""
    found = compare([TOPICS[topic]], {topic: configuration})
    return {str(difference): difference.stake for difference in found}


@pytest.mark.parametrize(
    "meanwhile", [{"message.timestamp.type": "LogAppendTime"}, {"retention.ms": "-1"}]
)
def test_a_setting_may_make_another_meaningless(meanwhile: dict[str, str]) -> None:
    """Records that expire by the time at which they came, or never, may be dated back."""
    dated = {"message.timestamp.before.max.ms": str(2**63 - 1)}
    assert find_drift(WRITER, right(WRITER) | dated)
    assert not find_drift(WRITER, right(WRITER) | dated | meanwhile)


@given(configurations)
def test_any_configuration_is_read(configuration: dict[str, str]) -> None:
    """Whatever a setting holds, or where it is missing, topics are compared and retention known."""
    for topic in TOPICS:
        assert set(find_drift(topic, right(topic) | configuration)) <= set(
            find_drift(topic, configuration)
        )
    time = kept(configuration)
    assert time is None or time >= timedelta(0)


LASTS = {
    *("cleanup.policy", "retention.ms", "retention.bytes"),
    *("unclean.leader.election.enable", "min.insync.replicas"),
}
DATED = {"message.timestamp.before.max.ms", "message.timestamp.after.max.ms"}
FITS = {"max.message.bytes", "segment.bytes"}


@pytest.mark.parametrize(
    ("topic", "required"),
    [
        (WRITER, {*LASTS, *DATED, "segment.ms"}),
        (READ, {*LASTS, *FITS}),
        (EMAIL, {*LASTS, *FITS}),
        (LETTERS, {*LASTS, *DATED, *FITS, "compression.type", "message.timestamp.type"}),
    ],
)
def test_each_topic_has_its_requirements(topic: str, required: set[str]) -> None:
    """The settings of Kafka by which a topic can break a guarantee, which their reasons name."""
    found = TOPICS[topic].requirements
    assert sorted(each.name for each in found) == sorted(required)
    for each in found:
        assert each.name in FITS or re.search(r"\(G[1-7]\)$", each.reason), each


@given(
    hours=st.integers(1, 100_000),
    replication=st.integers(1, 100),
    longest=st.none() | st.integers(0, 2**31 - 1),
)
def test_a_new_topic_is_as_it_has_to_be(hours: int, replication: int, longest: int | None) -> None:
    """What `topics create` sets is what `topics check` wants, and within what Kafka takes."""
    given = TopicPolicy(
        replication=replication, retention_hours=hours, dead_letter_retention_hours=hours
    )
    for topic in given.expected_topics(longest):
        for required in topic.requirements:
            assert required.value is None or required.accepts(required.value)
            size = "bytes" in required.name and required.value
            assert not size or int(size) < 2**31


@pytest.mark.parametrize(
    ("topics", "setting", "wrong", "stake"),
    [
        ((WRITER, LETTERS), "cleanup.policy", ("compact", "compact,delete"), Stake.PAYMENTS),
        ((READ, EMAIL), "cleanup.policy", ("compact", "compact,delete"), Stake.RECORDS),
        (TOPICS, "retention.ms", ("0", "86399999", "", "x"), Stake.RECORDS),
        (TOPICS, "retention.bytes", ("0", "9223372036854775807"), Stake.RECORDS),
        (TOPICS, "unclean.leader.election.enable", ("true",), Stake.RECORDS),
        (TOPICS, "min.insync.replicas", ("1",), Stake.RECORDS),
        ((WRITER,), "segment.ms", ("3600001", "9223372036854775807"), Stake.SERVICE),
        ((WRITER,), "message.timestamp.before.max.ms", (str(2**63 - 1),), Stake.RECORDS),
        ((WRITER,), "message.timestamp.after.max.ms", (str(2**63 - 1),), Stake.SERVICE),
        ((READ, EMAIL), "max.message.bytes", ("0", "65535"), Stake.SERVICE),
        ((READ, EMAIL), "segment.bytes", ("14", "65535"), Stake.SERVICE),
        ((LETTERS,), "max.message.bytes", ("1048588", "3016383"), Stake.SERVICE),
        ((LETTERS,), "segment.bytes", ("1048576", "3016383"), Stake.SERVICE),
        ((LETTERS,), "compression.type", ("uncompressed",), Stake.SERVICE),
        ((LETTERS,), "message.timestamp.before.max.ms", ("3600000",), Stake.SERVICE),
        ((LETTERS,), "message.timestamp.after.max.ms", ("3600000",), Stake.SERVICE),
        ((LETTERS,), "message.timestamp.type", ("LogAppendTime",), Stake.SERVICE),
    ],
)
def test_what_endangers_a_guarantee_is_a_difference(
    topics: tuple[str, ...], setting: str, wrong: tuple[str, ...], stake: Stake
) -> None:
    """A wrong setting is one difference, which names the value, the requirement and the reason."""
    for topic in topics:
        assert find_drift(topic, right(topic)) == {}
        for value in wrong:
            ((sentence, found),) = find_drift(topic, right(topic) | {setting: value}).items()
            assert sentence.startswith(f"{topic} has {setting}={value}, not ")
            assert found is stake


@pytest.mark.parametrize(
    ("topics", "setting", "better"),
    [
        (TOPICS, "cleanup.policy", ("",)),
        (TOPICS, "retention.ms", ("-1", "604800001", "9223372036854775807")),
        (TOPICS, "min.insync.replicas", ("3",)),
        ((WRITER,), "segment.ms", ("1000",)),
        ((LETTERS,), "max.message.bytes", ("3016384", "2147483647")),
        ((LETTERS,), "compression.type", ("producer", "zstd")),
        ((WRITER, READ, EMAIL), "message.timestamp.type", ("LogAppendTime",)),
        (TOPICS, "segment.jitter.ms", ("1",)),
    ],
)
def test_what_is_better_is_no_difference(
    topics: tuple[str, ...], setting: str, better: tuple[str, ...]
) -> None:
    """Longer retention, more replicas in sync, more room and the like are as good as wanted."""
    for topic in topics:
        for value in better:
            assert find_drift(topic, right(topic) | {setting: value}) == {}
