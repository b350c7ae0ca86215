"""Converts the messages of librdkafka into the core's records."""

from __future__ import annotations

from operator import methodcaller

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition, Record

_headers = methodcaller("headers")
"""`Message.headers`, called in a way that checks for errors. The extension sets an error and also
returns a broken list; a direct call continues with that list once Python has specialized it."""


def record_of(message: Message, partition: Partition) -> Record:
    """Convert a message.

    Raises:
        Unavailable: (halt) The name of a header is not in UTF-8.
    """
    kind, timestamp = message.timestamp()
    try:
        headers = _headers(message)
    except (SystemError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"Kafka: cannot read the headers of {partition}@{message.offset()};"
            " to read the records after it, move the group's offset past it",
            halt=True,
        ) from error
    return Record(
        partition,
        message.offset(),
        None if kind == TIMESTAMP_NOT_AVAILABLE else timestamp,
        message.key(),
        message.value(),
        tuple(headers) if headers else (),
    )
