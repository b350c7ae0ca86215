"""Takes snapshots of the system at intervals, and serves the last one as metrics and probes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from threading import Event

from attrs import define, field

from voltpay_adapters.probes import STALLED
from voltpay_adapters.snapshots import Snapshot
from voltpay_cli.console.lines import event
from voltpay_cli.http_server import Response, probe
from voltpay_cli.remedies import with_remedy

log = logging.getLogger("voltpay")


@define
class Observation:
    """The last snapshot.

    Attributes:
        look: Takes a snapshot.
        every: Seconds between two snapshots.
        timer: Seconds of a clock that never goes back.
    """

    look: Callable[[], Snapshot]
    every: float
    timer: Callable[[], float] = time.monotonic
    _last: Snapshot | None = field(default=None, init=False)
    _ticked: float = field(init=False)
    _failing: set[str] = field(factory=set, init=False)

    def __attrs_post_init__(self) -> None:
        """Begin to count the time."""
        self._ticked = self.timer()

    def run(self, stop: Event) -> None:
        """Look until `stop` is set; log each check that begins or ceases to fail.

        Raises:
            Misconfigured: A setting cannot work.
        """
        while not stop.is_set():
            self.tick()
            stop.wait(self.every)

    def tick(self) -> None:
        """Look once."""
        snapshot = self.look()
        failures = list(snapshot.failures())
        for finding in failures:
            if finding.failure and finding.name not in self._failing:
                log.warning(
                    "%s: %s",
                    finding.name,
                    with_remedy(finding.failure),
                    extra=event("check-failed", check=finding.name, code=finding.failure.code),
                )
        failing = {finding.name for finding in failures}
        for name in sorted(self._failing - failing):
            log.info("%s: ok again", name, extra=event("check-recovered", check=name))
        self._failing, self._last, self._ticked = failing, snapshot, self.timer()

    def metrics(self) -> Response:
        """The metrics; none before the first snapshot."""
        from voltpay_adapters.metrics import CONTENT_TYPE  # noqa: PLC0415 - an extra
        from voltpay_adapters.snapshot_metrics import exposition  # noqa: PLC0415

        return Response(exposition(self._last) if self._last else b"", CONTENT_TYPE)

    def livez(self) -> Response:
        """Whether snapshots still come: one is late `STALLED` seconds after its time."""
        silent = self.timer() - self._ticked
        late = silent > STALLED + self.every
        return probe(f"no snapshot for {silent:.0f} s" if late else None)

    def readyz(self) -> Response:
        """Whether there is a snapshot, which may also report an outage."""
        return probe(None if self._last else "the first snapshot is not taken yet")
