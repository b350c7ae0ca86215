"""PostgreSQL: the payment database, its schema and its maintenance."""

from importlib.util import find_spec
from typing import TYPE_CHECKING

from voltpay_adapters.lazy_imports import exports

if find_spec("pg8000") is None:
    raise ModuleNotFoundError(
        "voltpay_adapters.postgres needs pg8000: pip install 'voltpay[postgres]'", name="pg8000"
    )

if TYPE_CHECKING:
    from voltpay_adapters.postgres.database import PostgresDatabase
    from voltpay_adapters.postgres.reader import PostgresPaymentReader
    from voltpay_adapters.postgres.timeouts import Timeouts
    from voltpay_adapters.postgres.urls import DatabaseUrl
else:
    __getattr__ = exports(
        __name__,
        DatabaseUrl="urls",
        PostgresDatabase="database",
        PostgresPaymentReader="reader",
        Timeouts="timeouts",
    )

__all__ = ["DatabaseUrl", "PostgresDatabase", "PostgresPaymentReader", "Timeouts"]
