"""The access check of a Kafka connection, against servers that are only sockets."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
from tests.harness.sockets import broker, listening, send_answer

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_cli.settings import Url
from voltpay_cli.settings.schema import KafkaSettings, Settings
from voltpay_cli.wiring import Wiring
from voltpay_core.errors import Unavailable

SASL = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "writer",
    "sasl_plain_password": "secret",
}


@pytest.mark.parametrize(("code", "halt"), [(33, True), (34, True), (58, True), (7, False)])
def test_only_wrong_credentials_and_mechanisms_are_final(code: int, halt: bool) -> None:
    """A wrong mechanism or password halts; any other error of a broker can be retried."""
    with broker(code.to_bytes(2, "big") + bytes(4)) as (server, _):
        connection = KafkaConnection.parse(f"kafka://{server}", SASL)
        with pytest.raises(Unavailable) as raised:
            connection.producer()
    assert raised.value.halt is halt


HANDSHAKE, AUTHENTICATE = 17, 36
"""The requests of the access check; a client of kafka-python begins with another one."""


@contextmanager
def friendly_broker() -> Iterator[tuple[str, list[int]]]:
    """The address of a server that lets everybody in, and the first request of each connection."""
    first: list[int] = []

    def answer(link: socket.socket) -> None:
        kinds: list[int] = []
        while request := link.recv(4096)[4:]:
            kinds.append(kind := int.from_bytes(request[:2], "big"))
            if len(kinds) == 1:
                first.append(kind)
            if kind not in {HANDSHAKE, AUTHENTICATE}:
                return
            # no error; then no mechanisms, or neither a message nor bytes
            rest = bytes(6) if kind == HANDSHAKE else bytes(2) + b"\xff\xff" + bytes(4)
            send_answer(link, request, rest)

    with listening(answer) as server:
        yield server, first


def test_the_access_check_runs_once() -> None:
    """Everything that is made of one Kafka URL shares a connection, which is checked once."""
    kafka = KafkaSettings(
        protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        username="writer",
        password="secret",
        options={"bootstrap_timeout_ms": "1000"},  # a busy machine may answer late
    )
    with friendly_broker() as (server, first):
        wiring = Wiring(settings=Settings(Url(f"kafka://{server}"), kafka=kafka))
        letters = wiring.dead_letters()
        with pytest.raises(Unavailable):
            wiring.topics().find_drift()
        with pytest.raises(Unavailable):
            list(letters.browse())
        with closing(letters.source("bad-json")) as source, pytest.raises(Unavailable):
            source.poll(1)
    assert len(first) > 1
    assert first.count(HANDSHAKE) == 1
