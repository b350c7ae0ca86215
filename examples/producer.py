"""A producer: puts one payment on the writer topic, and ends once Kafka has it."""

import argparse
from contextlib import closing
from decimal import Decimal
from uuid import uuid4

from voltpay_adapters.kafka import KafkaConnection, KafkaPublisher
from voltpay_core import Codec, NewPayment, Status, Topics

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("kafka", help="kafka://host:port[,host:port]")
parser.add_argument("--account", type=int, required=True)
parser.add_argument("--amount", type=Decimal, required=True)
parser.add_argument("--currency", default="EUR")
parser.add_argument("--type", default="VSA")
parser.add_argument("--topic", default=Topics().writer)
parser.add_argument(
    "--message-id", default=str(uuid4()), help="the same one again if it may not have arrived"
)
given = parser.parse_args()

payment = NewPayment(  # raises Rejected where the payment would become a dead letter
    message_id=given.message_id,
    account_id=given.account,
    amount=given.amount,
    currency=given.currency,
    status=Status.SUCCESS,
    type=given.type,
)
record = Codec(Topics(writer=given.topic)).payment_record(payment)
with closing(KafkaPublisher(KafkaConnection.parse(given.kafka))) as publisher:
    publisher.publish([record]).wait()
print(f"produced {payment.message_id}")
