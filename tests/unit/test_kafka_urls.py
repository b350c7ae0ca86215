"""The one parser of Kafka's URL: what it accepts, and what it rejects."""

from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.cluster import get_ip_port_afi

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.urls import servers
from voltpay_adapters.urls import events_url, source_url
from voltpay_core.errors import Misconfigured


@pytest.mark.parametrize(
    ("named", "read"),
    [
        ("kafka-1:9092", ["kafka-1:9092"]),
        ("kafka_1.example.com.:1", ["kafka_1.example.com.:1"]),
        ("10.0.0.1:65535", ["10.0.0.1:65535"]),
        ("bücher.example:9092", ["bücher.example:9092"]),
        ("[::1]:9092", ["[::1]:9092"]),
        ("[::ffff:10.0.0.1]:9092", ["[::ffff:10.0.0.1]:9092"]),
        ("[fe80::1%eth0]:9092", ["[fe80::1%eth0]:9092"]),
        ("[fe80::1%25eth0.7]:9092", ["[fe80::1%eth0.7]:9092"]),
        ("[fe80::1%25]:9092", ["[fe80::1%25]:9092"]),
        ("a:1,[::1]:2,10.0.0.1:3/", ["a:1", "[::1]:2", "10.0.0.1:3"]),
    ],
)
def test_servers_of_every_form_are_read(named: str, read: list[str]) -> None:
    """Names, addresses, IPv6 in brackets, and zones in either spelling, mixed and in order."""
    assert list(servers(f"kafka://{named}")) == read


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ("", "server 1 is not host:port"),
        ("kafka-1", "server 1 is not host:port"),
        (":9092", "server 1 is not host:port"),
        ("a:1,", "server 2 is not host:port"),
        ("a:1, b:2", "server 2 is not host:port"),
        ("a:1//", "server 1 is not host:port"),
        ("a:1/topic", "server 1 is not host:port"),
        ("a:1?x=y", "server 1 is not host:port"),
        ("a:1#x", "server 1 is not host:port"),
        ("a:+1", "server 1 is not host:port"),
        ("a:\N{ARABIC-INDIC DIGIT ONE}", "server 1 is not host:port"),
        ("a:1\n", "server 1 is not host:port"),
        ("::1:9092", "server 1 is not host:port"),
        ("[::1]", "server 1 is not host:port"),
        ("[::1]9092", "server 1 is not host:port"),
        ("[kafka-1]:9092", "server 1 is not host:port"),
        ("[fe80::1%]:9092", "server 1 is not host:port"),
        ("[[::1]]:9092", "server 1 is not host:port"),
        ("a:1,me:secret@b:2", "server 2 may have no user"),
        ("a:0", "the port of server 1 is not from 1 to 65535"),
        ("a:1,[::1]:99999", "the port of server 2 is not from 1 to 65535"),
        ("[1::2::3]:9092", "the host of server 1 is not a valid name"),
        ("a..b:9092", "the host of server 1 is not a valid name"),
        (".:9092", "the host of server 1 is not a valid name"),
        (f"{'a' * 64}:9092", "the host of server 1 is not a valid name"),
    ],
)
def test_other_forms_are_rejected_with_the_place(named: str, words: str) -> None:
    """The error names the number of the wrong server, and repeats nothing of the URL."""
    with pytest.raises(Misconfigured, match="needs kafka://host:port") as refused:
        KafkaConnection.parse(f"kafka://{named}")
    assert str(refused.value).endswith(words)
    assert "secret" not in str(refused.value)


names = st.sampled_from(("kafka-1", "10.0.0.1", "bücher", "[::1]", "[fe80::1%eth0]", "[::1", "%25"))
ports = st.sampled_from(("1", "9092", "65535", "0", "99999", "", "x"))
likely = st.lists(st.builds("{}:{}".format, names | st.text(max_size=5), ports), max_size=4)
texts = st.text() | likely.map(",".join) | likely.map(lambda found: "kafka://" + ",".join(found))


@given(texts.filter(lambda url: not url.startswith("file:")))
def test_settings_and_adapter_agree_about_any_text(url: str) -> None:
    """Any text is accepted by parser, settings and client, or rejected by both of the former."""
    by_adapter = accepted(KafkaConnection.parse, url)
    assert by_adapter == accepted(source_url, url) == accepted(events_url, url)
    with suppress(ValueError):
        for server in servers(url):
            host, port, _ = get_ip_port_afi(server)
            assert server.rpartition(":")[0].strip("[]") == host
            assert int(server.rpartition(":")[2]) == port


def accepted(read: Callable[[str], object], url: str) -> bool:
    try:
        read(url)
    except (Misconfigured, ValueError):
        return False
    return True
