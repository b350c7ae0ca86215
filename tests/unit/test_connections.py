"""Kafka's URL and the options of its client."""

from pathlib import Path

import pytest
from kafka.errors import KafkaConfigurationError
from trustme import CA

from voltpay_adapters.confluent import ConfluentConnection
from voltpay_adapters.kafka.connection import KafkaConnection, translate_errors
from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_cli.settings import Url
from voltpay_cli.settings.schema import KafkaSettings, Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Misconfigured

SERVER = "kafka://localhost:9092"


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("no_such_option", "1", "has no option"),
        ("acks", "1", "is fixed"),
        ("group_instance_id", "writer", "is fixed"),
        ("linger_ms", "soon", "needs a number"),
        ("receive_buffer_bytes", "large", "needs a number"),
        ("session_timeout_ms", "2147483648", "needs a number from 0 to 2147483647"),
        ("max_block_ms", "99999999999999", "needs a number from 0 to 2147483647"),
        ("fetch_max_bytes", "-1", "needs a number from 0 to 2147483647"),
        ("retries", "nan", "needs a number from 0 to 2147483647"),
        ("compression_type", "gzipp", "needs one of gzip, lz4, snappy, zstd"),
        ("api_version", "3.9", "cannot be given as text"),
        ("partitioner", "random", "cannot be given as text"),
        ("ssl_context", "mine", "cannot be given as text"),
    ],
)
def test_an_option_that_cannot_work_is_reported_at_once(name: str, text: str, words: str) -> None:
    """What the Kafka client would stumble over in the middle of its work is bad configuration."""
    with pytest.raises(Misconfigured, match=f"{name}.* {words}|{words} {name}"):
        KafkaConnection.parse(SERVER, {name: text})


def test_options_that_contradict_each_other_are_bad_configuration() -> None:
    """What only the client can find out about its options ends the program at once, in words."""
    with (
        pytest.raises(Misconfigured, match=r"Kafka client cannot work: .*heartbeat_interval_ms"),
        translate_errors("reading"),
    ):
        raise KafkaConfigurationError("heartbeat_interval_ms must be lower")


def test_options_become_what_the_client_wants() -> None:
    """Text becomes the number or the truth that the option's default is."""
    given = {
        "linger_ms": "5",
        "ssl_check_hostname": "no",
        "receive_buffer_bytes": "65536",
        "compression_type": "zstd",
        "client_id": "writer",
    }
    options = KafkaConnection.parse(SERVER, given).options
    assert {name: options[name] for name in given} == {
        "linger_ms": 5,
        "ssl_check_hostname": False,
        "receive_buffer_bytes": 65536,
        "compression_type": "zstd",
        "client_id": "writer",
    }


@pytest.mark.parametrize("text", ["1", "true", "yes", "on", "TRUE", "Yes", "0", "no", "off", ""])
def test_a_truth_is_read_in_any_case(text: str) -> None:
    """Four words, in any case, are true; all other text is false."""
    options = KafkaConnection.parse(SERVER, {"check_crcs": text}).options
    assert options["check_crcs"] is (text.casefold() in {"1", "true", "yes", "on"})


def test_a_protocol_given_as_an_option_asks_for_its_credentials() -> None:
    """SASL has its mechanism, and needs user and password, wherever the protocol was set."""
    sasl = {"security_protocol": "SASL_PLAINTEXT"}
    with pytest.raises(Misconfigured, match="needs a username"):
        Wiring(settings=Settings(Url(SERVER), kafka=KafkaSettings(options=sasl))).topics()
    known = KafkaSettings(options=sasl, username="me", password="secret")
    kafka = Wiring(settings=Settings(Url(SERVER), kafka=known)).topics().source
    assert isinstance(kafka, KafkaConnection)
    assert kafka.options["sasl_mechanism"] == "SCRAM-SHA-512"
    assert kafka.options["sasl_plain_password"] == "secret"


@pytest.mark.parametrize("host", ["a..b", ".", "a" * 64])
def test_a_host_that_cannot_be_is_a_malformed_url(host: str) -> None:
    """A name that no resolver takes is bad configuration, of Kafka and of PostgreSQL."""
    with pytest.raises(Misconfigured, match="needs kafka://"):
        KafkaConnection.parse(f"kafka://{host}:9092")
    with pytest.raises(Misconfigured, match="not of the form postgresql://"):
        DatabaseUrl.parse(f"postgresql://me@{host}/payments")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("no.such.option", "1", "No such configuration property"),
        ("session.timeout.ms", "soon", "session.timeout.ms"),
        ("session.timeout.ms", "-1", "session.timeout.ms"),
        ("compression.type", "gzipp", "compression.codec"),
        *(
            (name, "1", f"{name} is fixed")
            for name in (
                *("acks", "request.required.acks", "enable.idempotence", "partitioner", "retries"),
                *("auto.offset.reset", "enable.auto.commit", "enable.auto.offset.store"),
                *("bootstrap.servers", "group.id", "group.instance.id", "isolation.level"),
                *("delivery.timeout.ms", "message.timeout.ms", "transactional.id", "check.crcs"),
                *("enable.ssl.certificate.verification", "partition.assignment.strategy"),
                "enable_auto_commit",
            )
        ),
    ],
)
def test_librdkafka_rejects_at_once_what_cannot_work(name: str, text: str, words: str) -> None:
    """An option of librdkafka that is unknown, impossible or fixed is bad configuration."""
    with pytest.raises(Misconfigured, match=words.replace("_", ".")):
        ConfluentConnection.parse(SERVER, {name: text})


def test_security_means_the_same_to_librdkafka(tmp_path: Path) -> None:
    """Each setting of the security has its option of librdkafka; an option given by name wins."""
    authority, trusted, both = CA(), tmp_path / "ca.crt", tmp_path / "both.pem"
    authority.cert_pem.write_to_path(trusted)
    authority.issue_cert("writer").private_key_and_cert_chain_pem.write_to_path(both)
    security = KafkaSecurity(
        protocol="SASL_SSL",
        username="me",
        password="secret",
        cafile=str(trusted),
        certfile=str(both),
    )
    options = ConfluentConnection.parse(SERVER, {"sasl.mechanism": "PLAIN"}, security).options
    assert options == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "me",
        "sasl.password": "secret",
        "ssl.ca.location": str(trusted),
        "ssl.certificate.location": str(both),
        "ssl.key.location": str(both),
    }


def test_credentials_may_be_options_of_librdkafka() -> None:
    """Who gives user and password by librdkafka's names needs no settings for them."""
    security = KafkaSecurity(protocol="SASL_PLAINTEXT")
    with pytest.raises(Misconfigured, match="needs a username"):
        ConfluentConnection.parse(SERVER, {}, security)
    given = {"sasl.username": "me", "sasl.password": "secret"}
    assert given.items() <= ConfluentConnection.parse(SERVER, given, security).options.items()


def test_the_setting_chooses_the_client() -> None:
    """Connections are those of the client that is named; kafka-python is the default."""
    by_default = Wiring(settings=Settings(Url(SERVER))).topics().source
    assert isinstance(by_default, KafkaConnection)
    given = KafkaSettings(client="confluent", options={"session_timeout_ms": "6000"})
    connection = Wiring(settings=Settings(Url(SERVER), kafka=given)).topics().source
    assert isinstance(connection, ConfluentConnection)
    assert connection.options["session.timeout.ms"] == "6000"
