"""Serves metrics and probes by HTTP, from a thread of its own."""

from __future__ import annotations

import json
import logging
import socket
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from threading import Thread
from urllib.parse import urlsplit

from attrs import frozen

from voltpay_adapters.private_tracebacks import traceback_without_messages
from voltpay_cli.addresses import Address
from voltpay_cli.console.lines import event
from voltpay_core.errors import Misconfigured

log = logging.getLogger("voltpay")

_CLIENT_SECONDS = 10


@frozen
class Response:
    """An answer to a GET request."""

    body: bytes
    content_type: str
    status: int = 200


def probe(failure: str | None) -> Response:
    """The answer of a probe: 200, or 503 with the reason."""
    told = {"status": "ok"} if failure is None else {"status": "unavailable", "reason": failure}
    return Response(
        json.dumps(told).encode() + b"\n", "application/json", 200 if failure is None else 503
    )


@contextmanager
def listening(address: Address, routes: Mapping[str, Callable[[], Response]]) -> Iterator[Address]:
    """Answer GET requests until the end of the block.

    Args:
        address: Port 0 stands for any free port.
        routes: Makes the answer for each path, in a thread of the request.

    Yields:
        The address with the port in use.

    Raises:
        Misconfigured: The address cannot be used (``cannot-listen``).
    """

    class Handler(_Handler):
        paths = routes

    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    kind = type("Server", (_Server,), {"address_family": family})
    try:
        server = kind((address.host, address.port), Handler)
    except OSError as error:
        reason = f"cannot listen on {address}: {error.strerror}"
        raise Misconfigured(reason, code="cannot-listen") from None
    with server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield Address(address.host, server.server_address[1])
        finally:
            server.shutdown()


@contextmanager
def serving(
    listen: str,
    *,
    metrics: Callable[[], Response],
    livez: Callable[[], Response],
    readyz: Callable[[], Response],
) -> Iterator[None]:
    """Serve metrics and probes until the end of the block, and log where.

    Raises:
        Misconfigured: The address cannot be used (``cannot-listen``).
    """
    routes = {"/metrics": metrics, "/livez": livez, "/readyz": readyz}
    with listening(Address.parse(listen), routes) as address:
        log.info("metrics are at http://%s/metrics", address, extra=event("listening"))
        yield


class _Server(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Log a bug without its words; a client that has gone is none."""
        if (error := sys.exception()) and not isinstance(error, ConnectionError | TimeoutError):
            told = "cannot answer a request: a bug", traceback_without_messages(error)
            log.error("%s\n%s", *told, extra=event("bug"))


class _Handler(BaseHTTPRequestHandler):
    paths: Mapping[str, Callable[[], Response]]
    server_version, sys_version = "voltpay", ""
    timeout = _CLIENT_SECONDS

    def do_GET(self) -> None:
        """Answer."""
        make = self.paths.get(urlsplit(self.path).path)
        there = f"not found; there are {', '.join(self.paths)}\n".encode()
        answer = make() if make else Response(there, "text/plain; charset=utf-8", 404)
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Log no request: there is one every few seconds."""
