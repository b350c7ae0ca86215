"""The access check of a Kafka connection, against servers that are only sockets."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_core.errors import Unavailable

SASL = {
    "security_protocol": "SASL_PLAINTEXT",
    "sasl_mechanism": "PLAIN",
    "sasl_plain_username": "writer",
    "sasl_plain_password": "secret",
}
CORRELATION = 4
"""Where a request has the number that its answer repeats."""


@contextmanager
def broker(code: int) -> Iterator[str]:
    """The address of a server that answers one handshake with this error code."""

    def answer() -> None:
        link, _ = listening.accept()
        with link:
            request = link.recv(4096)[4:]
            body = request[CORRELATION : CORRELATION + 4] + code.to_bytes(2, "big") + bytes(4)
            link.sendall(len(body).to_bytes(4, "big") + body)

    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        threading.Thread(target=answer, daemon=True).start()
        yield f"127.0.0.1:{listening.getsockname()[1]}"


@pytest.mark.parametrize(("code", "halt"), [(33, True), (34, True), (58, True), (7, False)])
def test_only_wrong_credentials_and_mechanisms_are_final(code: int, halt: bool) -> None:
    """A wrong mechanism or password halts; any other error of a broker can be retried."""
    with broker(code) as server:
        connection = KafkaConnection.parse(f"kafka://{server}", SASL)
        with pytest.raises(Unavailable) as raised:
            connection.producer()
    assert raised.value.halt is halt
