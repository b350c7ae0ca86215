"""A reader: keeps successful payments by account, each once, however often its event comes."""

import argparse
import json
import sqlite3
from collections.abc import Iterable
from contextlib import closing
from typing import Any

from kafka import OffsetAndMetadata

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_core.codec import EVENT_ID_HEADER, Topics
from voltpay_core.payments import Status
from voltpay_core.records import last_header

SCHEMA = """
CREATE TABLE IF NOT EXISTS seen (event_id text PRIMARY KEY);
CREATE TABLE IF NOT EXISTS payment (account integer, currency text, amount text);
"""


def main() -> None:
    """Read events until as many were read as asked for, or for ever.

    $ python examples/reader.py kafka://localhost:9092 --database reader.db
    """
    given = _arguments().parse_args()
    connection = KafkaConnection.parse(given.kafka)
    left: float = given.count or float("inf")
    with (
        closing(sqlite3.connect(given.database)) as database,
        closing(
            connection.consumer(given.topic, group_id=given.group, auto_offset_reset="earliest")
        ) as consumer,
    ):
        database.executescript(SCHEMA)
        while left > 0:
            for place, records in consumer.poll(1000).items():
                with database:
                    new = sum(handle(database, record.headers, record.value) for record in records)
                consumer.commit({place: OffsetAndMetadata(records[-1].offset + 1, "", -1)})
                left -= len(records)
                print(f"{place.topic}-{place.partition}: {new} new, {len(records) - new} repeated")


def handle(
    database: sqlite3.Connection, headers: Iterable[tuple[str, bytes | None]], value: bytes
) -> bool:
    """Take one event in, and tell whether it was new.

    What is done and the event's id are one transaction of our own database; the offset follows.
    """
    event_id = (last_header(headers, EVENT_ID_HEADER) or b"").decode()
    if not database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (event_id,)).rowcount:
        return False
    payment: dict[str, Any] = json.loads(value, parse_float=str)  # a float would lose digits
    if payment["status"] == Status.SUCCESS:
        row = (payment["accountId"], payment["currency"], str(payment["amount"]))
        database.execute("INSERT INTO payment VALUES (?, ?, ?)", row)
    return True


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Read payments, each once.")
    parser.add_argument("kafka", help="kafka://host:port[,host:port]")
    parser.add_argument("--database", default="reader.db", help="an SQLite file")
    parser.add_argument("--topic", default=Topics().read)
    parser.add_argument("--group", default="example-reader")
    parser.add_argument("--count", type=int, help="stop after so many events")
    return parser


if __name__ == "__main__":
    main()
