"""Servers for tests, where the parts of the stack are on this machine."""

import os
from collections.abc import Callable
from typing import TypeVar

import pytest
from tests.harness.stack.places import MissingError

Server = TypeVar("Server")


def available(make: Callable[[], Server]) -> Server:
    """Make a server; where a part is missing, skip the test, or fail it in CI."""
    try:
        return make()
    except MissingError as missing:
        if os.environ.get("CI") == "true":
            pytest.fail(f"NO REAL STACK: {missing}")
        pytest.skip(f"NO REAL STACK: {missing}")
