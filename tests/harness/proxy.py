"""A TCP proxy that cuts, stalls and swallows, in front of a server that is real."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress

from attrs import define, field
from tests.harness.stack.processes import Server

_RESET = struct.pack("ii", 1, 0)  # closing sends a reset in place of a farewell


@define(eq=False)
class Proxy(Server):
    """Passes bytes on between its clients and one server, as long as nothing else is asked.

    Attributes:
        swallow: Asked of what a client says, in one piece: where it is true, the server gets
            that, and the client gets neither the answer nor anything else any more.
        cut_after: The client is cut off once the server has given an answer that is swallowed;
            otherwise it waits for ever.
        damage: What the client gets in the place of an answer.
    """

    _server: tuple[str, int]
    swallow: Callable[[bytes], bool] = lambda _: False
    cut_after: bool = False
    damage: Callable[[bytes], bytes] = lambda answer: answer
    swallowed: int = field(default=0, init=False)
    _passing: threading.Event = field(factory=threading.Event, init=False)
    _refusing: bool = field(default=False, init=False)
    _links: list[_Link] = field(factory=list, init=False)
    _listener: socket.socket = field(init=False)

    def _open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._passing.set()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """Take no more clients, and reset every connection."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._passing.set()
        self.cut()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Reset every connection; new ones are welcome."""
        while self._links:
            self._links.pop().close()

    def stall(self) -> None:
        """Pass nothing on: connections stay open, and nobody answers (half-open)."""
        self._passing.clear()

    def refuse(self) -> None:
        """Reset every connection, and close new ones at once, as if the server were gone."""
        self._refusing = True
        self.cut()

    def go_on(self) -> None:
        """Pass everything on, also what waited."""
        self._refusing = False
        self._passing.set()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self._refusing:
                    client.close()
                    continue
                try:
                    server = socket.create_connection(self._server)
                except OSError:
                    client.close()
                else:
                    self._links.append(_Link(self, client, server))

    def _pass(self) -> None:
        self._passing.wait()


class _Link:
    """One client's connection, and ours to the server in its name."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._deaf = False
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for pump in (self._to_server, self._to_client):
            threading.Thread(target=pump, daemon=True).start()

    def close(self) -> None:
        for end in (self._client, self._server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _to_server(self) -> None:
        with suppress(OSError):
            while said := self._client.recv(65536):
                self._proxy._pass()
                if not self._deaf and self._proxy.swallow(said):
                    self._deaf = True
                    self._proxy.swallowed += 1
                self._server.sendall(said)
        self._end(self._server)

    def _to_client(self) -> None:
        with suppress(OSError):
            while answer := self._server.recv(65536):
                self._proxy._pass()
                if not self._deaf:
                    self._client.sendall(self._proxy.damage(answer))
                elif self._proxy.cut_after:
                    break
        if not self._deaf or self._proxy.cut_after:
            self._end(self._client)

    @staticmethod
    def _end(end: socket.socket) -> None:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
