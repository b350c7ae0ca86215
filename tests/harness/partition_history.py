"""Reads a history that is too long for memory, one source partition at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import closing

from kafka import KafkaAdminClient
from tests.harness.checker import History
from tests.harness.databases import Database, connected
from tests.harness.history import KafkaGroup, read_events, read_topic
from tests.harness.tables import read_tables

from voltpay_adapters.testing.tables import Tables
from voltpay_core.codec import Codec
from voltpay_core.outcomes import DecodedPayment
from voltpay_core.records import Record
from voltpay_core.writer import dead_letter_key

# Tables of the session that hold what belongs to the slice, under the names of the real ones.
_SLICE = """
CREATE TEMP TABLE payment_core AS SELECT * FROM write.payment_core
    WHERE account_id IN (SELECT key::bigint FROM accounts);
ANALYZE payment_core;
CREATE TEMP TABLE payment_metadata AS SELECT metadata.*
    FROM write.payment_metadata AS metadata JOIN payment_core USING (id, created_at);
CREATE TEMP TABLE payment_notes AS SELECT notes.*
    FROM write.payment_notes AS notes JOIN payment_core USING (id, created_at);
CREATE TEMP TABLE idempotency AS SELECT * FROM write.idempotency
    WHERE message_id IN (SELECT key FROM claims);
CREATE TEMP VIEW outbox AS SELECT * FROM write.outbox;
CREATE TEMP VIEW partition_fence AS SELECT * FROM write.partition_fence;
"""


def read_slice(group: KafkaGroup, database: Database, number: int) -> History:
    """Everything of one partition.

    That is a whole: every record of an account, and every repeat of a message id, is in one
    partition, and its events in the partition of the same number.
    """
    only = frozenset({number})
    produced = list(read_topic(group.servers, group.topics.writer, only))
    codec = Codec(group.topics)
    with closing(KafkaAdminClient(bootstrap_servers=group.servers)) as admin:
        acknowledged = group.acknowledged(admin)
    return History(
        produced=produced,
        tables=_read_tables(database, codec, produced),
        published=read_events(group, only),
        acknowledged=acknowledged,
        codec=codec,
    )


def _read_tables(database: Database, codec: Codec, produced: Iterable[Record]) -> Tables:
    accounts, claims = set(), set()
    for record in produced:
        item = codec.decode(record)
        claims.add(dead_letter_key(record))
        if isinstance(item, DecodedPayment):
            accounts.add(str(item.payment.account_id))
            claims.add(item.payment.message_id)
    with connected(database.superuser, seconds=600) as connection:
        for name, keys in (("accounts", accounts), ("claims", claims)):
            connection.run(f"CREATE TEMP TABLE {name} (key text)")
            connection.run(
                f"INSERT INTO {name} SELECT * FROM json_array_elements_text(:keys::json)",
                keys=json.dumps(list(keys)),
            )
        connection.run(_SLICE)
        return read_tables(connection.run, "pg_temp.")
