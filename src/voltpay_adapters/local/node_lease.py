"""Leases node ids by locked files beside a database."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from attrs import frozen

from voltpay_adapters.local.appending import cannot
from voltpay_core.errors import Misconfigured


@frozen
class NodeLease:
    """A node id, leased while its lock file beside the database stays locked (G7)."""

    node_id: int
    _lock: IO[bytes]

    @classmethod
    def take(cls, database: Path, node_ids: Sequence[int]) -> NodeLease:
        """Lease the first free one of these node ids.

        Raises:
            Misconfigured: Other running processes hold all of them, or the path is wrong.
            Unavailable: The disk is full.
        """
        if os.path.isdir(database):  # noqa: PTH112 - a Path raises where a name is too long
            raise Misconfigured(f"{database} is a folder: name a file for the database")
        for candidate in node_ids:
            try:
                lock = Path(f"{database}.node-{candidate:03}").open("ab")  # noqa: SIM115 - it is the lease
            except OSError as error:
                raise cannot(f"write beside {database}", error) from None
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                lock.close()
            else:
                return cls(candidate, lock)
        raise Misconfigured(
            f"node id {node_ids[0]} is taken by another process that uses {database}",
            code="node-id-taken",
        )

    def release(self) -> None:
        """Release the node id."""
        self._lock.close()
