"""A contract for each port: a test class inherits it and brings a fixture ``harness``.

It needs pytest and Hypothesis: ``pip install voltpay[testing]``.
"""

import pytest

pytest.register_assert_rewrite(
    *(f"{__name__}.{module}" for module in ("events", "reader", "source", "store"))
)  # before they are imported

from voltpay_adapters.testing.contracts.events import (  # noqa: E402
    EventsContract,
    EventsHarness,
    RefusalsContract,
    RefusalsHarness,
)
from voltpay_adapters.testing.contracts.reader import (  # noqa: E402
    ReaderContract,
    ReaderHarness,
)
from voltpay_adapters.testing.contracts.source import (  # noqa: E402
    GapsContract,
    GapsHarness,
    SharedSourceContract,
    SharedSourceHarness,
    SourceContract,
    SourceHarness,
)
from voltpay_adapters.testing.contracts.store import (  # noqa: E402
    RemoteStoreContract,
    RemoteStoreHarness,
    SharedStoreContract,
    StoreContract,
    StoreHarness,
)

__all__ = [
    "EventsContract",
    "EventsHarness",
    "GapsContract",
    "GapsHarness",
    "ReaderContract",
    "ReaderHarness",
    "RefusalsContract",
    "RefusalsHarness",
    "RemoteStoreContract",
    "RemoteStoreHarness",
    "SharedSourceContract",
    "SharedSourceHarness",
    "SharedStoreContract",
    "SourceContract",
    "SourceHarness",
    "StoreContract",
    "StoreHarness",
]
