"""An e-mail service: mails each successful payment once, as far as its mail server allows."""

import argparse
import smtplib
import sqlite3
from contextlib import closing
from email.message import EmailMessage
from threading import Event

from voltpay_adapters import SeenEvents, backoff, subscribe
from voltpay_adapters.kafka import KafkaConnection, KafkaSource
from voltpay_core import EmailEvent, Topics

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("kafka", help="kafka://host:port[,host:port]")
parser.add_argument("smtp", help="the mail server's host:port")
parser.add_argument("--database", default="emails.db", help="an SQLite file")
parser.add_argument("--topic", default=Topics().email)
parser.add_argument("--group", default="example-emails")
given = parser.parse_args()

stop = Event()
source = KafkaSource(KafkaConnection.parse(given.kafka), given.topic, given.group)
with (
    closing(sqlite3.connect(given.database)) as database,
    smtplib.SMTP(given.smtp) as server,
    subscribe(source, EmailEvent, retry=backoff(300, stop), stop=stop.is_set) as batches,
):
    seen = SeenEvents(database)
    seen.create_table()
    for batch in batches:
        for event in batch.events:
            mail = EmailMessage()
            mail["From"], mail["To"] = "pay@voltpay.example", f"{event.account_id}@voltpay.example"
            mail["Subject"] = f"Your payment of {event.amount} {event.currency}"
            mail.set_content(f"Payment {event.id} of {event.created_at:%Y-%m-%d} was successful.")
            with database:  # a crash right after the mail server's answer repeats one e-mail
                for _ in seen.new([event]):
                    server.send_message(mail)
        batch.acknowledge()
