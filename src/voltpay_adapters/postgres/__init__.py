"""PostgreSQL: the payment database, its schema and its maintenance."""

try:
    import pg8000  # noqa: F401 - only to name the missing package
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "voltpay_adapters.postgres needs pg8000: pip install 'voltpay[postgres]'", name="pg8000"
    ) from None

from voltpay_adapters.postgres.connection import Timeouts
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl

__all__ = ["DatabaseUrl", "PostgresDatabase", "Timeouts"]
