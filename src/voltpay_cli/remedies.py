"""What a person can do about a failure, by the failure's code: a flag, a setting or a command."""

from __future__ import annotations

from typing import Protocol

_ALTER = "alter it, or "

_REMEDIES = {
    "breaker": "fix the database, or raise limits.breaker",
    "claims-needed-by-input": "keep claims longer (limits.claims_days, --older-than), or --force",
    "claims-needed-by-replays": "purge older claims (limits.claims_days), or --force",
    "database-certificates": "see database.sslrootcert",
    "kafka-password-missing": (
        "not set: kafka.password; give it as VOLTPAY_KAFKA_PASSWORD or in voltpay.toml"
    ),
    "kafka-username-missing": (
        "not set: kafka.username; give it as VOLTPAY_KAFKA_USERNAME or in voltpay.toml"
    ),
    "letters-beyond-retention": "--force sends them all the same",
    "missing-privileges": "voltpay db update",
    "no-partition": "voltpay db maintain",
    "no-schema": "voltpay db bootstrap, then voltpay db update",
    "no-topic": "voltpay topics create",
    "no-topics": "give --source kafka://host:port, or VOLTPAY_SOURCE",
    "older-schema": "voltpay db update",
    "outbox-waits": "voltpay consume publishes them",
    "payments-vanish": f"{_ALTER}the settings",
    "topic-partitions": f"{_ALTER}topics.partitions",
    "topic-replication": f"{_ALTER}topics.replication",
    "topic-setting": f"{_ALTER}the settings",
}


class Coded(Protocol):
    """A failure or a difference: a sentence with a stable code."""

    @property
    def code(self) -> str:
        """The code."""


def with_remedy(found: Coded) -> str:
    """The sentence, and what to do about it."""
    remedy = _REMEDIES.get(found.code)
    return f"{found}; {remedy}" if remedy else str(found)
