"""Servers that are only sockets, and brokers that answer as they are told."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress


@contextmanager
def listening(serve: Callable[[socket.socket], object]) -> Iterator[str]:
    """The address of a server that treats each connection like this, one after the other."""

    def accept() -> None:
        with suppress(OSError):
            while True:
                link, _ = opened.accept()
                with link, suppress(OSError):
                    serve(link)

    with closing(socket.create_server(("127.0.0.1", 0))) as opened:
        threading.Thread(target=accept, daemon=True).start()
        yield f"127.0.0.1:{opened.getsockname()[1]}"


def send_answer(link: socket.socket, request: bytes, answer: bytes) -> None:
    """Answer a request of Kafka's protocol, whose number the answer repeats."""
    body = request[4:8] + answer
    link.sendall(len(body).to_bytes(4, "big") + body)


@contextmanager
def broker(*answers: bytes) -> Iterator[tuple[str, list[bytes]]]:
    """The address of a broker that gives these answers to each client, and what it was asked."""
    asked: list[bytes] = []

    def serve(link: socket.socket) -> None:
        for answer in answers:
            request = link.recv(4096)[4:]
            asked.append(request)
            send_answer(link, request, answer)
        link.recv(4096)

    with listening(serve) as server:
        yield server, asked
