"""A reader: keeps payments by account in SQLite, each once, however often its event comes."""

import argparse
import sqlite3
from contextlib import closing
from threading import Event

from voltpay_adapters import SeenEvents, backoff, subscribe
from voltpay_adapters.kafka import KafkaConnection, KafkaSource
from voltpay_core import ReadEvent, Topics

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("kafka", help="kafka://host:port[,host:port]")
parser.add_argument("--database", default="reader.db", help="an SQLite file")
parser.add_argument("--topic", default=Topics().read)
parser.add_argument("--group", default="example-reader")
parser.add_argument("--exit-eof", action="store_true", help="end where the topic ended at start")
given = parser.parse_args()

stop = Event()
source = KafkaSource(KafkaConnection.parse(given.kafka), given.topic, given.group)
with (
    closing(sqlite3.connect(given.database)) as database,
    subscribe(
        source, ReadEvent, retry=backoff(300, stop), stop=stop.is_set, until_drained=given.exit_eof
    ) as batches,
):
    seen = SeenEvents(database)
    seen.create_table()
    database.execute("CREATE TABLE IF NOT EXISTS payment (id text, account integer, amount text)")
    for batch in batches:
        with database:  # what is done and the event ids are one transaction; the offsets follow
            new = seen.new(batch.events)
            rows = [(event.id.text, event.account_id, str(event.amount)) for event in new]
            database.executemany("INSERT INTO payment VALUES (?, ?, ?)", rows)
        batch.acknowledge()
        print(f"{len(new)} new, {len(batch.events) - len(new)} repeated")
