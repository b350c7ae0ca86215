"""Adapters without a server: JSON lines and SQLite, with the same guarantees."""

from typing import TYPE_CHECKING

from voltpay_adapters.lazy_imports import exports

if TYPE_CHECKING:
    from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher
    from voltpay_adapters.local.source import FileSource
    from voltpay_adapters.local.sqlite import SqliteDatabase
    from voltpay_adapters.local.sqlite_reader import SqlitePaymentReader
else:
    __getattr__ = exports(
        __name__,
        FilePublisher="files",
        FileSource="source",
        PaymentFilePublisher="files",
        SqliteDatabase="sqlite",
        SqlitePaymentReader="sqlite_reader",
    )

__all__ = [
    "FilePublisher",
    "FileSource",
    "PaymentFilePublisher",
    "SqliteDatabase",
    "SqlitePaymentReader",
]
