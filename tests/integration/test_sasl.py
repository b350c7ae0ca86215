"""Kafka by SASL and TLS: accepted logins, trusted brokers, and the errors of all others."""

import json
import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from kafka import KafkaAdminClient
from kafka.admin import ScramMechanism, UserScramCredentialUpsertion
from tests.harness.cli import voltpay
from tests.harness.deployment import VOLTPAY
from tests.harness.stack.available import available
from tests.harness.stack.kafka import KafkaCluster
from trustme import CA

USER = "voltpay"
PASSWORD = "canary, for Kafka: ü=%"
PLAIN_PASSWORD = "canary-without-quotes"
CLIENTS = ("kafka-python", "confluent")
COMMANDS = (
    "consume --timeout 60",
    "produce --count 1",
    "topics check",
    "dead-letter list",
    "check",
)
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"
_MECHANISMS = "SCRAM-SHA-512,SCRAM-SHA-256,PLAIN"


@pytest.fixture(scope="module")
def authority() -> CA:
    return CA()


@pytest.fixture(scope="module")
def trusted(authority: CA, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of the authority's certificate."""
    path = tmp_path_factory.mktemp("sasl") / "ca.crt"
    authority.cert_pem.write_to_path(path)
    return path


@pytest.fixture(scope="module")
def cluster(authority: CA, trusted: Path) -> Iterator[KafkaCluster]:
    """Brokers whose certificate is 127.0.0.1's, with a user who has two passwords."""
    issued = authority.issue_cert("127.0.0.1")
    key = load_pem_private_key(issued.private_key_pem.bytes(), None)
    store = trusted.with_name("broker.pem")
    store.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    issued.cert_chain_pems[0].write_to_path(store, append=True)
    listeners = ("SASL_SSL", "SSL")
    made = available(
        lambda: KafkaCluster(
            properties(store, trusted), listeners=listeners, heap="320m", thrifty=True
        )
    )
    with made as cluster:
        with closing(KafkaAdminClient(bootstrap_servers=cluster.bootstrap)) as admin:
            for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
                new = UserScramCredentialUpsertion(USER, mechanism, PASSWORD, iterations=4096)
                admin.alter_user_scram_credentials([new])
        yield cluster


def properties(store: Path, trusted: Path) -> dict[str, str]:
    protocols = ("CONTROLLER:PLAINTEXT", "PLAINTEXT:PLAINTEXT", "SASL_SSL:SASL_SSL", "SSL:SSL")
    listener = "listener.name.sasl_ssl"
    return {
        "listener.security.protocol.map": ",".join(protocols),
        "sasl.enabled.mechanisms": _MECHANISMS,
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(store),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(trusted),
        "listener.name.ssl.ssl.client.auth": "required",
        f"{listener}.plain.sasl.jaas.config": f'{_PLAIN} user_{USER}="{PLAIN_PASSWORD}";',
        f"{listener}.scram-sha-512.sasl.jaas.config": f"{_SCRAM};",
        f"{listener}.scram-sha-256.sasl.jaas.config": f"{_SCRAM};",
    }


@pytest.fixture(scope="module")
def settings(cluster: KafkaCluster, trusted: Path) -> Mapping[str, str]:
    """The environment by which everything is let in, and topics that were made so."""
    settings = {
        "VOLTPAY_SOURCE": f"kafka://{cluster.bootstrap_by('SASL_SSL')}",
        "VOLTPAY_STORE": "sqlite::memory:",
        "VOLTPAY_KAFKA_PROTOCOL": "SASL_SSL",
        "VOLTPAY_KAFKA_SASL_MECHANISM": "SCRAM-SHA-512",
        "VOLTPAY_KAFKA_USERNAME": USER,
        "VOLTPAY_KAFKA_PASSWORD": PASSWORD,
        "VOLTPAY_KAFKA_CAFILE": str(trusted),
        "VOLTPAY_TOPICS_PARTITIONS": "2",
    }
    result = voltpay("topics", "create", env=settings)
    assert result.exit_code == 0, result.output
    return settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("VOLTPAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("mechanism", _MECHANISMS.split(","))
def test_payments_come_and_events_go(
    mechanism: str, client: str, settings: Mapping[str, str]
) -> None:
    """By each mechanism payments are produced, consumed and published, with warm-ups and group."""
    password = PLAIN_PASSWORD if mechanism == "PLAIN" else PASSWORD
    Path("password").write_text(password + "\n")
    own = dict(settings) | {
        "VOLTPAY_KAFKA_SASL_MECHANISM": mechanism,
        "VOLTPAY_KAFKA_PASSWORD_FILE": "password",
        "VOLTPAY_STORE": "sqlite:payments.db",
        "VOLTPAY_GROUP": f"group-{mechanism}-{client}",
        "VOLTPAY_KAFKA_CLIENT": client,
    }
    del own["VOLTPAY_KAFKA_PASSWORD"]
    produced = voltpay("produce", "--count", "50", "--poison", "0.1", env=own)
    assert produced.exit_code == 0, produced.output
    result = voltpay("consume", "--exit-eof", "--timeout", "60", "--output", "json", env=own)
    assert result.exit_code == 0, result.output
    total = json.loads(result.stdout)
    assert total["written"] + total["dead_letters"] >= 50
    assert total["events"] > total["written"] > 0
    assert "canary" not in result.output


def refused(command: str, settings: Mapping[str, str], code: int = 69) -> str:
    """What a command says that must end with an exit code at once."""
    result = voltpay(*command.split(), env=settings)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert "canary" not in result.output
    if command == "check":
        return str(result.stdout)
    (line,) = [line for line in result.stderr.splitlines() if " starts: " not in line]
    return line


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_password_is_reported_at_once(
    command: str, client: str, settings: Mapping[str, str]
) -> None:
    """A rejected login ends at once, and the error names the settings."""
    own = {"VOLTPAY_KAFKA_CLIENT": client, "VOLTPAY_KAFKA_PASSWORD": "wrong canary"}
    told = refused(command, {**settings, **own})
    assert "invalid credentials" in told
    assert "see kafka.username, kafka.password" in told


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_authority_is_rejected(
    command: str, client: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    """Brokers with a certificate of another authority are not trusted, and not retried."""
    other = tmp_path / "other.crt"
    CA().cert_pem.write_to_path(other)
    own = {"VOLTPAY_KAFKA_CLIENT": client, "VOLTPAY_KAFKA_CAFILE": str(other)}
    told = refused(command, {**settings, **own})
    assert "cannot be trusted" in told
    assert "kafka.cafile" in told


def test_a_wrong_host_is_rejected(settings: Mapping[str, str]) -> None:
    """A certificate of another host is not trusted."""
    source = settings["VOLTPAY_SOURCE"].replace("127.0.0.1", "localhost")
    told = refused("topics check", {**settings, "VOLTPAY_SOURCE": source})
    assert "not valid for 'localhost'" in told


def test_a_mechanism_that_brokers_do_not_know_is_reported(
    cluster: KafkaCluster, settings: Mapping[str, str]
) -> None:
    """SASL where the brokers expect none ends with the settings to look at."""
    own = {
        **settings,
        "VOLTPAY_SOURCE": cluster.url,
        "VOLTPAY_KAFKA_PROTOCOL": "SASL_PLAINTEXT",
    }
    assert "kafka.sasl_mechanism" in refused("topics check", own)


@pytest.mark.parametrize("name", ["USERNAME", "PASSWORD"])
def test_missing_credentials_are_a_missing_setting(name: str, settings: Mapping[str, str]) -> None:
    """Without user or password the error names the setting, and no broker is asked."""
    own = {key: value for key, value in settings.items() if key != f"VOLTPAY_KAFKA_{name}"}
    told = refused("topics check", own, code=78)
    assert f"not set: kafka.{name.lower()}" in told


@pytest.mark.parametrize("setting", ["CAFILE", "CERTFILE"])
def test_certificates_that_cannot_be_read_are_a_wrong_setting(
    setting: str, settings: Mapping[str, str], tmp_path: Path
) -> None:
    """A file of certificates that is missing, or is none, is named before anybody is asked."""
    (tmp_path / "none").write_text("no certificate")
    for file in (tmp_path / "nowhere", tmp_path / "none"):
        told = refused("topics check", {**settings, f"VOLTPAY_KAFKA_{setting}": str(file)}, 78)
        assert f"cannot use {file}" in told
        assert f"see kafka.{setting.lower()}" in told


def by_certificate(cluster: KafkaCluster, trusted: Path, **settings: str) -> dict[str, str]:
    """The environment of who asks those brokers that want a certificate in place of a password."""
    return {
        "VOLTPAY_SOURCE": f"kafka://{cluster.bootstrap_by('SSL')}",
        "VOLTPAY_STORE": "sqlite::memory:",
        "VOLTPAY_KAFKA_PROTOCOL": "SSL",
        "VOLTPAY_KAFKA_CAFILE": str(trusted),
        "VOLTPAY_KAFKA_OPTIONS": "bootstrap.timeout.ms=1000",
        **settings,
    }


@pytest.mark.parametrize("client", CLIENTS)
def test_a_certificate_lets_us_in(
    client: str,
    cluster: KafkaCluster,
    authority: CA,
    trusted: Path,
    tmp_path: Path,
    settings: Mapping[str, str],
) -> None:
    """If brokers require a client certificate, the writer presents one and consumes payments."""
    issued, own_pair = authority.issue_cert("writer"), tmp_path / "own.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(own_pair)
    own = by_certificate(
        cluster,
        trusted,
        VOLTPAY_KAFKA_CERTFILE=str(own_pair),
        VOLTPAY_KAFKA_KEYFILE=str(own_pair),
        VOLTPAY_GROUP=f"group-certificate-{client}",
        VOLTPAY_KAFKA_CLIENT=client,
        VOLTPAY_KAFKA_OPTIONS="client.id=writer",
    )
    produced = voltpay("produce", "--count", "50", env=own)
    assert produced.exit_code == 0, produced.output
    result = voltpay("consume", "--exit-eof", "--timeout", "60", "--output", "json", env=own)
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["written"] > 0


def test_no_certificate_is_reported(cluster: KafkaCluster, trusted: Path) -> None:
    """Who has no certificate where one is asked for learns which setting to look at."""
    assert "kafka.certfile" in said("topics check", by_certificate(cluster, trusted))


@pytest.mark.parametrize(
    ("spoken", "listener"),
    [("PLAINTEXT", "SSL"), ("SSL", "PLAINTEXT"), ("SSL", "SASL_SSL"), ("SASL_SSL", "PLAINTEXT")],
)
def test_the_wrong_protocol_is_reported(
    spoken: str, listener: str, cluster: KafkaCluster, settings: Mapping[str, str]
) -> None:
    """If the client's protocol is not the brokers' one, the error names the setting."""
    own = {
        **settings,
        "VOLTPAY_SOURCE": f"kafka://{cluster.bootstrap_by(listener)}",
        "VOLTPAY_KAFKA_PROTOCOL": spoken,
        "VOLTPAY_KAFKA_OPTIONS": "bootstrap.timeout.ms=1000",
    }
    assert "kafka.protocol" in said("topics check", own)


def said(command: str, settings: Mapping[str, str]) -> str:
    """The last line of what a command says that must end for want of a broker."""
    result = subprocess.run(
        [VOLTPAY, *command.split()],
        check=False,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 69, result.stderr
    return result.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("client", "option"),
    [
        ("kafka-python", "ssl.check.hostname=no"),
        ("confluent", "ssl.endpoint.identification.algorithm=none"),
    ],
)
def test_the_client_need_not_check_the_host(
    client: str, option: str, settings: Mapping[str, str]
) -> None:
    """Options of the Kafka client hold for the trust in its servers, too."""
    source = settings["VOLTPAY_SOURCE"].replace("127.0.0.1", "localhost")
    own = {"VOLTPAY_SOURCE": source, "VOLTPAY_KAFKA_CLIENT": client}
    own = {**settings, **own, "VOLTPAY_KAFKA_OPTIONS": option}
    result = voltpay("topics", "check", env=own)
    assert result.exit_code == 0, result.output
