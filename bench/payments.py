"""The payments of the benchmark: each has a comment and is successful, so it makes two events."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator

from attrs import evolve

from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec
from voltpay_core.ids import PaymentIdGenerator
from voltpay_core.outcomes import Written
from voltpay_core.payments import Payment, Status
from voltpay_core.records import Partition, ProducerRecord, Record

COMMENT = "Rent for October, flat 3"
SAMPLED = 100
"""One trace of so many is sampled."""
COPIED = (
    "payment_core (id, amount, status, currency, account_id, type, created_at)",
    "payment_metadata (id, created_at, updated_at, version)",
    "payment_notes (id, created_at, external_ref_id, comment)",
    "idempotency (message_id)",
)
"""The tables that COPY fills, in the order of `copy_rows`."""


def records(codec: Codec, count: int, accounts: int, seed: int) -> Iterator[ProducerRecord]:
    """Records for the input topic, each in a trace; one of a hundred traces is sampled."""
    for number, sample in enumerate(samples(codec, count, seed, Mix(accounts)), 1):
        payment = codec.decode_payment(sample.value)
        comment = payment.comment or COMMENT
        record = codec.payment_record(evolve(payment, status=Status.SUCCESS, comment=comment))
        context = b"00-%032x-%016x-%02x" % (number, number, number % SAMPLED == 0)
        yield evolve(record, headers=(*record.headers, ("traceparent", context)))


def written(codec: Codec, count: int, accounts: int, partitions: int) -> Iterator[Written]:
    """The same payments as if a writer had written them."""
    ids = PaymentIdGenerator(lambda: time.time_ns() // 1_000_000)
    for offset, sent in enumerate(records(codec, count, accounts, seed=2)):
        partition = Partition(codec.topics.writer, offset % partitions)
        record = Record(partition, offset, 0, sent.key, sent.value)
        yield Written(record, Payment(ids.mint(0), codec.decode_payment(sent.value)))


def copy_rows(payments: Iterable[Payment]) -> tuple[str, ...]:
    """The rows of these payments as COPY reads them, a text for each table."""
    rows: list[tuple[str, str, str, str]] = []
    for payment in payments:
        new, at = payment.stated, payment.created_at.isoformat()
        core = (payment.id, new.amount, new.status.value, new.currency, new.account_id, new.type)
        notes = (_text(new.external_ref_id), _text(new.comment))
        rows.append(
            (
                _line(*core, at),
                _line(payment.id, at, at, payment.version),
                _line(payment.id, at, *notes),
                _line(new.message_id),
            )
        )
    return tuple("".join(table) for table in zip(*rows, strict=True))


def _line(*fields: object) -> str:
    return "\t".join(map(str, fields)) + "\n"


def _text(value: str | None) -> str:
    return r"\N" if value is None else value.replace("\\", "\\\\")
