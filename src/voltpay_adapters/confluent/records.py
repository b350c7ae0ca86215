"""Records as the core knows them."""

from __future__ import annotations

from operator import methodcaller

from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Message

from voltpay_core.errors import Unavailable
from voltpay_core.records import Partition, Record

_headers = methodcaller("headers")
"""`Message.headers`, called so that Python sees the error that the extension sets and does not
return; called directly, it goes on with a broken list once the call is specialized."""


def record_of(message: Message, partition: Partition) -> Record:
    """The record that a message holds.

    Raises:
        Unavailable: (halt) The name of a header is not in UTF-8.
    """
    kind, timestamp = message.timestamp()
    try:
        headers = _headers(message)
    except (SystemError, UnicodeDecodeError) as error:
        raise Unavailable(
            f"Kafka: cannot read the headers of {partition}@{message.offset()}: nothing behind it"
            " is read before the group's offset is moved",
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
