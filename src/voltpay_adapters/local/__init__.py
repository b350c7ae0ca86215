"""Adapters without a server: JSON lines, SQLite and lists, with the same guarantees."""

from voltpay_adapters.local.files import FilePublisher, PaymentFilePublisher
from voltpay_adapters.local.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_adapters.local.source import FileSource
from voltpay_adapters.local.sqlite import SqliteDatabase

__all__ = [
    "FilePublisher",
    "FileSource",
    "MemoryLog",
    "MemoryPublisher",
    "MemorySource",
    "PaymentFilePublisher",
    "SqliteDatabase",
]
