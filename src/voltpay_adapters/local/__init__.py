"""Adapters without a server: JSON lines and SQLite, with the same guarantees."""

from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_adapters.local.sqlite_reader import SqlitePaymentReader

__all__ = [
    "FilePublisher",
    "FileSource",
    "PaymentFilePublisher",
    "SqliteDatabase",
    "SqlitePaymentReader",
]
