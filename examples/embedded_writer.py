"""The writer inside another program: payments from Kafka into PostgreSQL, until SIGTERM."""

import argparse
import signal
import sys
from threading import Event

from voltpay_adapters import backoff, payment_writer
from voltpay_adapters.kafka import KafkaConnection, KafkaPublisher, KafkaSource
from voltpay_adapters.postgres import DatabaseUrl, PostgresDatabase
from voltpay_core import Topics, Unavailable

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("kafka", help="kafka://host:port[,host:port]")
parser.add_argument("store", help="postgresql://user@host:port/database")
parser.add_argument("--group", default="voltpay-writer")
parser.add_argument("--exit-eof", action="store_true", help="end where the topic ended at start")
given = parser.parse_args()

stop = Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())
kafka = KafkaConnection.parse(given.kafka)
source = KafkaSource(kafka, Topics().writer, given.group)
with payment_writer(
    source=source,
    store=PostgresDatabase(DatabaseUrl.parse(given.store)),
    events=KafkaPublisher(kafka, source.count_partitions),
    retry=backoff(300, stop),
) as writer:
    try:
        print(writer.run(stop.is_set, until_drained=given.exit_eof))
    except Unavailable as outage:  # it outlasted the retries, or SIGTERM ended them
        sys.exit(str(outage))
