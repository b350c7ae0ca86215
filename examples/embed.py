"""The writer inside another program: payments from a list, SQLite in memory, events into a list."""

import time
from datetime import UTC, datetime
from decimal import Decimal

from voltpay_adapters.local.memory import MemoryLog, MemoryPublisher, MemorySource
from voltpay_adapters.local.sqlite import SqliteDatabase
from voltpay_core.codec import Codec
from voltpay_core.consuming import PaymentConsumer
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.payments import NewPayment, Status
from voltpay_core.writer import PaymentWriter

codec, log, events, database = Codec(), MemoryLog(), MemoryPublisher(), SqliteDatabase(":memory:")
source = MemorySource(log)

payment = NewPayment("order-4711", 1007919, Decimal("12.50"), "EUR", Status.SUCCESS, "VSA")
for _ in range(2):  # the second one is a duplicate
    log.append(codec.encode_payment(payment), key=b"1007919")
source.assign(log.partitions)

ids = PaymentIdGenerator(lambda: time.time_ns() // 1_000_000)
writer = PaymentWriter(database.begin, codec, ids, lambda: datetime.now(UTC))
consumer = PaymentConsumer(
    source, database.begin, events, codec, writer, retry=lambda attempt: attempt()
)
print(consumer.run(stop=lambda: False, until_drained=True))
for event in events.events:
    print(event.topic, (event.value or b"").decode())
database.close()
