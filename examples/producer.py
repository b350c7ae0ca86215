"""A producer: puts one payment on the writer topic, and ends once Kafka has it."""

import argparse
from contextlib import closing
from decimal import Decimal
from uuid import uuid4

from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_core.codec import Codec, Topics
from voltpay_core.payments import NewPayment, Status
from voltpay_core.records import ProducerRecord


def main() -> None:
    """Produce the payment that the arguments state.

    $ python examples/producer.py kafka://localhost:9092 --account 1007919 --amount 12.50
    """
    given = _arguments().parse_args()
    payment = NewPayment(  # raises where the payment would become a dead letter
        message_id=given.message_id,
        account_id=given.account,
        amount=given.amount,
        currency=given.currency,
        status=Status.SUCCESS,
        type=given.type,
    )
    record = ProducerRecord(
        topic=given.topic,
        key=str(payment.account_id).encode(),
        value=Codec().encode_payment(payment),
    )
    with closing(KafkaPublisher(KafkaConnection.parse(given.kafka))) as topic:
        topic.publish([record]).wait()
    print(f"produced {payment.message_id}")


def _arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Put one payment on the writer topic.")
    parser.add_argument("kafka", help="kafka://host:port[,host:port]")
    parser.add_argument("--account", type=int, required=True)
    parser.add_argument("--amount", type=Decimal, required=True)
    parser.add_argument("--currency", default="EUR")
    parser.add_argument("--type", default="VSA")
    parser.add_argument("--topic", default=Topics().writer)
    parser.add_argument(
        "--message-id",
        default=str(uuid4()),
        help="say the same one again when you are not sure that it arrived",
    )
    return parser


if __name__ == "__main__":
    main()
