"""The example programs on real Kafka."""

import json
import secrets
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.stack.kafka import KafkaAddress
from tests.stack.places import ROOT

from voltpay_adapters.kafka.browsing import browse
from voltpay_adapters.kafka.connection import KafkaConnection
from voltpay_adapters.kafka.publisher import KafkaPublisher
from voltpay_adapters.kafka.topics import Topic, create
from voltpay_core.codec import Codec, Topics
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import DecodedPayment, Written
from voltpay_core.payments import Payment


def example(name: str, *arguments: str) -> str:
    """What an example prints, having ended well."""
    command = [sys.executable, str(ROOT / "examples" / name), *arguments]
    ended = subprocess.run(command, capture_output=True, check=False, text=True, timeout=60)
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_what_the_producer_says_the_reader_hears_once(kafka: KafkaAddress, tmp_path: Path) -> None:
    """A produced payment is acceptable, and the reader keeps an event once that comes twice."""
    token = secrets.token_hex(4)
    topics = Topics(writer=f"writer-{token}", read=f"read-{token}")
    connection, codec = KafkaConnection.parse(kafka.url), Codec(topics)
    create(connection, [Topic(topics.writer, 2, 2), Topic(topics.read, 2, 2)])

    payment = ("--account", "42", "--amount", "12.50", "--message-id", "order-1")
    told = example("producer.py", kafka.url, "--topic", topics.writer, *payment)
    assert told == "produced order-1\n"
    (record,) = browse(connection, topics.writer)
    message = codec.decode(record)
    assert isinstance(message, DecodedPayment)

    written = Written(record, Payment(PaymentIdGenerator(lambda: 1).mint(0), message.payment))
    with closing(KafkaPublisher(connection)) as events:
        events.publish([codec.events(written)[0]] * 2).wait()
    arguments = ("--topic", topics.read, "--group", f"reader-{token}", "--count", "2")
    told = example("reader.py", kafka.url, "--database", str(tmp_path / "reader.db"), *arguments)
    counts = [[int(word) for word in line.split() if word.isdigit()] for line in told.splitlines()]
    assert [sum(column) for column in zip(*counts, strict=True)] == [1, 1]
    assert json.loads(record.value or b"")["messageId"] == "order-1"
