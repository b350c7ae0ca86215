"""PostgreSQL: the payment database, its schema and its maintenance."""

try:
    import pg8000  # noqa: F401 - only to name the missing package
except ModuleNotFoundError as missing:
    raise ImportError("voltpay_adapters.postgres needs pg8000: pip install pg8000") from missing

from voltpay_adapters.postgres.connection import Timeouts
from voltpay_adapters.postgres.database import PostgresDatabase
from voltpay_adapters.postgres.urls import DatabaseUrl

__all__ = ["DatabaseUrl", "PostgresDatabase", "Timeouts"]
