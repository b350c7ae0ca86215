"""A stub of what Alertmanager notifies: it keeps every alert that it is told of."""

import json
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Self

from attrs import frozen


@frozen
class Notified:
    """An alert as a receiver got it.

    Attributes:
        receiver: The name of the receiver.
        status: firing or resolved.
    """

    receiver: str
    status: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


class Receiver:
    """Listens until the end of the block."""

    def __init__(self) -> None:
        self.notified: list[Notified] = []
        keep = self.notified.extend

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                keep(
                    Notified(
                        self.path.strip("/"), each["status"], each["labels"], each["annotations"]
                    )
                    for each in body["alerts"]
                )
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> Self:
        Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def of(self, alert: str, namespace: str) -> list[Notified]:
        """The last notification of each alert of this name and namespace."""
        wanted = {"alertname": alert, "namespace": namespace}.items()
        found = [each for each in self.notified if wanted <= each.labels.items()]
        return list({frozenset(each.labels.items()): each for each in found}.values())
