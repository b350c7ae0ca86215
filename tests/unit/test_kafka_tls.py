"""Encryption and logins to Kafka, checked before the first client: against sockets alone."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from attrs import frozen
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from tests.harness.sockets import broker, listening
from tests.harness.stack.processes import free_ports
from trustme import CA

from voltpay_adapters.kafka.preflight import check_access, tls_context
from voltpay_core.errors import Misconfigured, Unavailable

SASL = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "writer",
    "sasl_plain_password": "secret",
}
HANDSHAKE = 17
MECHANISMS = b"\0\0\0\2" + b"\0\7GSSAPI2" + b"\0\5PLAIN"


@frozen
class Files:
    """An authority, and the files that a client of its servers may have."""

    authority: CA
    folder: Path

    def ca(self, authority: CA | None = None) -> str:
        path = self.folder / "ca.crt"
        (authority or self.authority).cert_pem.write_to_path(path)
        return str(path)

    def locked(self, password: str) -> tuple[str, str]:
        """A certificate, and its key that needs a password."""
        issued = self.authority.issue_cert("writer")
        key = load_pem_private_key(issued.private_key_pem.bytes(), None)
        lock = BestAvailableEncryption(password.encode())
        cert, locked = self.folder / "writer.crt", self.folder / "writer.key"
        issued.cert_chain_pems[0].write_to_path(cert)
        locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, lock))
        return str(cert), str(locked)


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(CA(), tmp_path)


@contextmanager
def encrypted(authority: CA, name: str = "127.0.0.1") -> Iterator[str]:
    """The address of a server whose certificate is for this name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)

    def serve(link: socket.socket) -> None:
        with context.wrap_socket(link, server_side=True) as safe:
            safe.recv(1)

    with listening(serve) as server:
        yield server


def handshake(code: int) -> bytes:
    return code.to_bytes(2, "big") + MECHANISMS


def authenticated(code: int, message: bytes | None = None, answer: bytes = b"") -> bytes:
    said = b"\xff\xff" if message is None else len(message).to_bytes(2, "big") + message
    return code.to_bytes(2, "big") + said + len(answer).to_bytes(4, "big") + answer


@pytest.mark.parametrize("protocol", [None, "PLAINTEXT", "SASL_PLAINTEXT"])
def test_without_tls_there_is_no_context(protocol: str | None) -> None:
    """Only the two protocols with TLS have a context; other options of TLS mean nothing there."""
    options = {"security_protocol": protocol} if protocol else {}
    assert tls_context(options) is None
    assert tls_context({**options, "ssl_cafile": "none.pem"}) is None


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
@pytest.mark.parametrize("checks", [None, True, False])
def test_brokers_are_checked(protocol: str, checks: bool | None, files: Files) -> None:
    """Certificates are always verified, names unless they shall not be, and old TLS is refused."""
    mine = files.folder / "mine.pem"
    files.authority.issue_cert("client").private_key_and_cert_chain_pem.write_to_path(mine)
    named = {} if checks is None else {"ssl_check_hostname": checks}
    options = {"security_protocol": protocol, **named}
    with_files = {**options, "ssl_cafile": files.ca(), "ssl_certfile": str(mine)}
    for context in (tls_context(options), tls_context(with_files)):
        assert context is not None
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname is (checks is not False)
        assert context.minimum_version is ssl.TLSVersion.TLSv1_2
        assert not context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


def test_the_systems_authorities_are_trusted_without_a_file(files: Files) -> None:
    """A file of authorities replaces those of the system."""
    own = tls_context({"security_protocol": "SSL", "ssl_cafile": files.ca()})
    default = tls_context({"security_protocol": "SSL"})
    assert own is not None
    assert default is not None
    expected = ssl.create_default_context().cert_store_stats()
    assert default.cert_store_stats() == expected
    assert own.cert_store_stats() == {"x509": 1, "crl": 0, "x509_ca": 1}


@pytest.mark.parametrize("kind", ["cafile", "certfile", "crlfile"])
def test_a_file_that_cannot_be_read_is_named(kind: str, tmp_path: Path) -> None:
    """Each file has its own code; a missing one and one that is no certificate are named."""
    (tmp_path / "empty.pem").touch()
    for name in ("none.pem", "empty.pem"):
        options = {"security_protocol": "SSL", f"ssl_{kind}": str(tmp_path / name)}
        with pytest.raises(
            Misconfigured, match=f"cannot use .*{name} for TLS with Kafka"
        ) as caught:
            tls_context(options)
        assert caught.value.code == f"kafka-{kind}"


def test_a_key_may_need_a_password(files: Files) -> None:
    """The certificate's key is in a file of its own, and is read with its password."""
    cert, key = files.locked("open sesame")
    options = {"security_protocol": "SSL", "ssl_certfile": cert, "ssl_keyfile": key}
    assert tls_context({**options, "ssl_password": "open sesame"}) is not None
    with pytest.raises(Misconfigured) as caught:
        tls_context({**options, "ssl_password": "wrong"})
    assert caught.value.code == "kafka-certfile"


def test_a_list_of_revoked_certificates_is_heeded(files: Files) -> None:
    """With such a list a certificate is looked for in it, and the other checks stay."""
    options = {"security_protocol": "SSL", "ssl_cafile": files.ca()}
    before, after = tls_context(options), tls_context({**options, "ssl_crlfile": files.ca()})
    assert before is not None
    assert after is not None
    assert after.verify_flags == before.verify_flags | ssl.VERIFY_CRL_CHECK_LEAF
    with encrypted(files.authority) as server, pytest.raises(Unavailable, match="CRL"):
        check_access([server], {**options, "ssl_context": after})


def reach(servers: list[str], files: Files, **options: Any) -> bool:
    given = {"security_protocol": "SSL", "ssl_cafile": files.ca(), **options}
    return check_access(servers, {**given, "ssl_context": tls_context(given)})


def test_a_trusted_broker_is_reached(files: Files) -> None:
    """The first broker that answers is enough; where none does, the client reports it."""
    away = f"127.0.0.1:{free_ports(1)[0]}"
    with encrypted(files.authority) as server:
        assert reach([server], files)
        assert reach([away, server], files)
    assert not reach([away, away], files)
    assert check_access([away], {"security_protocol": "PLAINTEXT"})
    assert check_access([away], {})


@pytest.mark.parametrize("trusted", [True, False])
def test_a_broker_that_cannot_be_trusted_halts(files: Files, trusted: bool) -> None:
    """A certificate of another authority or for another name is final; the broker is named."""
    authority = files.authority if trusted else CA()
    with encrypted(authority, "10.0.0.1" if trusted else "127.0.0.1") as server:
        with pytest.raises(Unavailable, match=rf"{server} cannot be trusted: \w+") as caught:
            reach([server], files)
        assert (caught.value.halt, caught.value.code) == (True, "kafka-untrusted")
        if trusted:
            assert reach([server], files, ssl_check_hostname=False)


def test_a_login_sends_the_credentials() -> None:
    """User and password are sent to the broker, and nothing more where it accepts them."""
    with broker(handshake(0), authenticated(0)) as (server, asked):
        assert check_access([server], SASL)
    kinds = [int.from_bytes(request[:2], "big") for request in asked]
    assert kinds == [HANDSHAKE, HANDSHAKE + 19]
    assert asked[0].endswith(b"\0\5PLAIN")
    assert b"\0\7voltpay" in asked[0]
    assert asked[1].endswith(b"\0writer\0secret")


@pytest.mark.parametrize(
    ("answers", "words", "halt", "code"),
    [
        ([handshake(33)], "it supports GSSAPI2, PLAIN, but not PLAIN", True, "kafka-credentials"),
        ([b"\0\x21\0\0\0\0"], "it supports no SASL, but not PLAIN", True, "kafka-credentials"),
        ([handshake(7)], "it supports GSSAPI2, PLAIN, but not PLAIN", False, "kafka"),
        ([handshake(0), authenticated(58, b"who?")], "who[?]", True, "kafka-credentials"),
        (
            [handshake(0), authenticated(58)],
            "SaslAuthenticationFailedError",
            True,
            "kafka-credentials",
        ),
        ([handshake(0), authenticated(34, b"now?")], "now[?]", True, "kafka-credentials"),
    ],
)
def test_a_rejected_login_says_why(answers: list[bytes], words: str, halt: bool, code: str) -> None:
    """The broker's reason is reported, and only what a retry cannot heal is final."""
    with broker(*answers) as (server, _):
        with pytest.raises(Unavailable, match=f"{server} rejects the login: {words}$") as caught:
            check_access([server], SASL)
        assert (caught.value.halt, caught.value.code) == (halt, code)


def test_an_answer_that_is_none_is_an_outage() -> None:
    """What does not speak Kafka's protocol is named; a server that hangs up has not answered."""
    with ExitStack() as opened:
        server = opened.enter_context(listening(lambda link: link.sendall(b"\0\0\0\4" * 4)))
        with pytest.raises(Unavailable, match=f"{server} sent an invalid answer") as caught:
            check_access([server], SASL)
        assert (caught.value.halt, caught.value.code) == (False, "kafka-protocol")
        silent = opened.enter_context(listening(lambda link: link.recv(4096)))
        assert not check_access([silent], SASL)
