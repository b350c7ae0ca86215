"""Connection poolers: which of them are recognised, by the server processes that answer."""

from collections.abc import Sequence
from typing import Any, cast

import pytest
from attrs import define
from pg8000.native import Connection

from voltpay_adapters.postgres.poolers import is_pooled, reject_shared
from voltpay_core.errors import Misconfigured


@define
class Session:
    """A session whose queries are answered by these server processes, then by none in time."""

    processes: list[int]
    closed: bool = False

    def run(self, sql: str) -> list[list[int]]:
        if not self.processes:
            raise TimeoutError
        return [[self.processes.pop(0)]]

    def close(self) -> None:
        self.closed = True


def judge(own: Sequence[int], foreign: Sequence[int]) -> Session:
    first, second = Session([*own]), Session([*foreign])
    reject_shared(cast(Connection, first), lambda: cast(Any, second), "db:5432")
    return second


@pytest.mark.parametrize(
    "foreign", [[2, 2, 2], [2], []], ids=["both answer", "the pool is used up", "it is full"]
)
def test_sessions_that_keep_their_process_are_accepted(foreign: list[int]) -> None:
    """Each session has a server process of its own; the second one is closed in the end."""
    assert judge([1] * 8, foreign).closed


@pytest.mark.parametrize(
    ("own", "foreign"),
    [
        ([1] * 8, [1]),
        ([1] * 8, [2, 2, 1]),
        ([1, 1, 1, 1, 1, 1, 2, 2], [3, 3, 3]),
        ([1, 2], []),
        ([1, 1, 3, *[1] * 5], [2, 2, 2]),
    ],
)
def test_sessions_that_share_a_process_are_rejected(own: list[int], foreign: list[int]) -> None:
    """Who shares the process of another session, or changes its own, is in no session mode."""
    with pytest.raises(Misconfigured, match=r"pooler at db:5432 shares .* pool_mode = session"):
        judge(own, foreign)


def test_a_pooler_announces_another_process() -> None:
    """A server that announces the process that answers is no pooler; one that announces none is."""
    key = (7).to_bytes(4, "big")
    assert not is_pooled(key + b"\0\0\0\x08", 7)
    assert is_pooled(key + b"\0\0\0\x08", 8)
    assert is_pooled(None, 7)
