"""A contract for each port: a test class inherits it and brings a fixture ``harness``.

It needs pytest and Hypothesis: ``pip install voltpay[testing]``.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("events", "source", "store"))
)  # before they are imported

from voltpay_adapters.testing.contracts.events import EventsContract, EventsHarness  # noqa: E402
from voltpay_adapters.testing.contracts.source import (  # noqa: E402
    GapsContract,
    GapsHarness,
    SharedSourceContract,
    SourceContract,
    SourceHarness,
)
from voltpay_adapters.testing.contracts.store import (  # noqa: E402
    SharedStoreContract,
    StoreContract,
    StoreHarness,
)

__all__ = [
    "EventsContract",
    "EventsHarness",
    "GapsContract",
    "GapsHarness",
    "SharedSourceContract",
    "SharedStoreContract",
    "SourceContract",
    "SourceHarness",
    "StoreContract",
    "StoreHarness",
]
