"""What a person can do about a failure, by the failure's code: a flag, a setting or a command."""

from __future__ import annotations

from voltpay_adapters.kafka.requirements import Difference
from voltpay_core.errors import Misconfigured, Unavailable

_REMEDIES = {
    "breaker": "fix the database, or raise limits.breaker",
    "claims-needed-by-input": "keep claims longer (limits.claims_days, --older-than), or --force",
    "claims-needed-by-replays": "purge older claims (limits.claims_days), or --force",
    "claims-not-purged": "voltpay idempotency purge",
    "database-certificates": "see database.sslrootcert",
    "database-untrusted": "see database.sslrootcert, and the host's name",
    "database-url-not-encoded": (
        "percent-encode it, or put the password into database.password_file"
    ),
    "database-url-passfile": "set database.password_file",
    "database-url-password": "set database.password or database.password_file",
    "database-url-sslmode": "set database.sslmode",
    "database-url-sslrootcert": "set database.sslrootcert",
    "kafka-cafile": "see kafka.cafile",
    "kafka-certfile": "see kafka.certfile and kafka.keyfile",
    "kafka-credentials": "see kafka.username, kafka.password and kafka.sasl_mechanism",
    "kafka-client-missing": "or leave kafka.client as kafka-python",
    "kafka-crlfile": "see the option ssl_crlfile",
    "kafka-password-missing": (
        "not set: kafka.password; give it as VOLTPAY_KAFKA_PASSWORD or in voltpay.toml"
    ),
    "kafka-protocol": "see kafka.protocol",
    "kafka-untrusted": "see kafka.cafile, and the host's name",
    "kafka-url-user": "see kafka.username",
    "kafka-username-missing": (
        "not set: kafka.username; give it as VOLTPAY_KAFKA_USERNAME or in voltpay.toml"
    ),
    "letters-beyond-retention": "--force takes them all the same",
    "letters-in-file": "name the copy as the --source of voltpay consume",
    "line-too-long": "take it out, or raise limits.batch_bytes",
    "migrator-pooled": "let database.migrator name PostgreSQL itself",
    "missing-privileges": "voltpay db update",
    "months-ahead": "voltpay db maintain",
    "no-broker": "see the URL, kafka.protocol and kafka.certfile",
    "no-database-file": "voltpay consume creates it",
    "no-member": "voltpay consume",
    "no-partition": "voltpay db maintain",
    "no-regular-file": "let it be the standard input: --source file:- < PATH",
    "no-schema": "voltpay db bootstrap, then voltpay db update",
    "no-topic": "voltpay topics create",
    "no-topics": "give --source kafka://host:port, or VOLTPAY_SOURCE",
    "node-id-taken": "choose another --node-id, or auto",
    "older-schema": "voltpay db update",
    "outbox-waits": "voltpay consume publishes them",
    "payments-vanish": "alter it, or the settings",
    "records-expired": "keep them longer, or go on with --skip-expired",
    "topic-partitions": "alter it, or topics.partitions",
    "topic-replication": "alter it, or topics.replication",
    "topic-setting": "alter it, or the settings",
}


def with_remedy(found: Difference | Misconfigured | Unavailable) -> str:
    """The sentence, and what to do about it."""
    remedy = _REMEDIES.get(found.code)
    return f"{found}; {remedy}" if remedy else str(found)
