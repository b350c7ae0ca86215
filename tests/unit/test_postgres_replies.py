"""Whatever answers in PostgreSQL's place, and whatever it says, is an outage and never a bug."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.session import Session
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl, Host
from voltpay_core.errors import Misconfigured, Rejected, Unavailable

SOON = Timeouts(lock=1, statement=1, idle=1)
TLS = ssl.create_default_context()  # to make it reads all certificates of the machine


def message(code: bytes, content: bytes = b"") -> bytes:
    """A message of PostgreSQL's protocol."""
    return code + (len(content) + 4).to_bytes(4, "big") + content


def row(*values: bytes) -> bytes:
    cells = (len(value).to_bytes(4, "big") + value for value in values)
    return message(b"D", len(values).to_bytes(2, "big") + b"".join(cells))


def columns(*types: int) -> bytes:
    cells = (b"c\0" + bytes(6) + oid.to_bytes(4, "big") + bytes(8) for oid in types)
    return message(b"T", len(types).to_bytes(2, "big") + b"".join(cells))


READY = message(b"Z", b"I")
LOGGED_IN = b"".join(
    (
        message(b"R", bytes(4)),
        message(b"S", b"server_encoding\0UTF8\0"),
        message(b"K", (7).to_bytes(4, "big") + b"key!"),
        READY,
        columns(23, 25, 25),
        row(b"7", b"TimeZone", b"UTC"),
        READY,
    )
)
messages = st.builds(
    message, st.sampled_from([bytes([c]) for c in b"RSKZTDCENAItn123sGHdc"]), st.binary(max_size=40)
)
replies = st.one_of(
    st.binary(max_size=60),
    st.lists(messages, max_size=4).map(b"".join),
    st.lists(messages, max_size=3).map(lambda some: b"".join((*some, READY))),
)
others = st.sampled_from(
    (
        b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2p1\r\n",
        b"\0\0\0\x0a\0\0\0\0\0\x23\0\0\0\0",
        b"-ERR unknown command\r\n",
        message(b"R", (10).to_bytes(4, "big") + b"SCRAM-SHA-7\0\0"),
        message(b"R", (10).to_bytes(4, "big") + b"\xff\0\0"),
        message(b"R", (11).to_bytes(4, "big") + b"r=x"),
        message(b"R", (12).to_bytes(4, "big")),
        message(b"R", (99).to_bytes(4, "big")),
        message(b"S", b"client_encoding\0EUC_TW\0") + message(b"S", b"a\0b\0"),
        message(b"E", b"C28P01\0Mno\0\0"),
    )
)


@contextmanager
def server(said: bytes) -> Iterator[DatabaseUrl]:
    """Says this to whoever comes, whatever he says, until the connection is closed."""

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as client:  # closed where nobody came
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        port = listening.getsockname()[1]
        yield DatabaseUrl((Host("127.0.0.1", port),), "payments", "me", "secret", "any")
        socket.create_connection(("127.0.0.1", port)).close()  # where nobody came
        serving.join(10)
        assert not serving.is_alive(), "the connection was not closed"


@given(replies | others)
def test_whatever_answers_a_login_is_an_outage(said: bytes) -> None:
    """Any bytes in the place of a server's greeting are an outage, or name a wrong setting."""
    with (
        server(said) as target,
        pytest.raises((Unavailable, Misconfigured)) as caught,
        admin_connection(target),
    ):
        pass
    assert target.label in str(caught.value)


@given(st.binary(min_size=1, max_size=20))
@example(b"\xff")
@example(b"N")
@example(b"S")
def test_whatever_answers_a_wish_for_tls_is_an_outage(said: bytes) -> None:
    """Any bytes in the place of TLS are an outage."""
    with server(said) as target, pytest.raises(Unavailable, match="PostgreSQL at "):
        Session.open(target, SOON, TLS)


@given(replies | others)
@example(message(b"1") + message(b"t", b"\0\0") + columns(17) + READY + row(b"a\\\\b") + READY)
@example(message(b"1") + message(b"n") + READY + row(b"caf\xe9") + READY)
@example(columns(1184) + row(b"24.12.2026 10:00:00 MEZ") + READY)
def test_whatever_answers_a_statement_is_an_outage_or_a_rejection(said: bytes) -> None:
    """Any reply gives rows, a rejection or an outage; after an outage nothing more is asked."""
    with (
        server(LOGGED_IN + said) as target,
        closing(Session.open(target, SOON)) as opened,
    ):
        try:
            rows = opened.attempt("SELECT :text", text="5 €")
        except (Rejected, Unavailable):
            return
        assert isinstance(rows, list)
        assert not opened.broken


@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_text_that_cannot_be_encoded_is_the_messages_fault(text: str) -> None:
    """What never reached the wire is rejected alone, and the session goes on."""
    prepared = message(b"1") + message(b"t", b"\0\0") + columns(25) + READY
    answered = message(b"2") + row(b"x") + message(b"C", b"SELECT 1\0") + READY
    with (
        server(LOGGED_IN + prepared + answered) as target,
        closing(Session.open(target, SOON)) as opened,
    ):
        with pytest.raises(Rejected):
            opened.attempt("SELECT :text", text=text)
        assert not opened.broken
        assert opened.attempt("SELECT :text", text="good") == [["x"]]
