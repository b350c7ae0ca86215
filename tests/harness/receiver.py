"""A stub of what Alertmanager notifies: it keeps every alert that it is told of."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from attrs import field, frozen
from tests.harness.posting import posting


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


@frozen
class Receiver:
    """What was notified; `port` is where it listens."""

    port: int
    notified: list[Notified] = field(factory=list)

    def of(self, alert: str, namespace: str) -> list[Notified]:
        """The last notification of each alert of this name and namespace."""
        wanted = {"alertname": alert, "namespace": namespace}.items()
        found = [each for each in self.notified if wanted <= each.labels.items()]
        return list({frozenset(each.labels.items()): each for each in found}.values())


@contextmanager
def receiving() -> Iterator[Receiver]:
    """All receivers of an Alertmanager, until the end of the block."""
    notified: list[Notified] = []

    def take(path: str, body: bytes) -> bytes:
        receiver = path.strip("/")
        notified.extend(
            Notified(receiver, each["status"], each["labels"], each["annotations"])
            for each in json.loads(body)["alerts"]
        )
        return b""

    with posting(take) as port:
        yield Receiver(port, notified)
