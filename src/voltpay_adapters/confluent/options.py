"""The options of librdkafka: those for security, and those that are fixed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaException

from voltpay_adapters.kafka.security import KafkaSecurity
from voltpay_core.errors import Misconfigured

_SECURITY = {
    "sasl_mechanism": "sasl.mechanism",
    "sasl_plain_password": "sasl.password",
    "sasl_plain_username": "sasl.username",
    "security_protocol": "security.protocol",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_check_hostname": "ssl.endpoint.identification.algorithm",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
}
"""The names of kafka-python, and those of librdkafka for the same options."""

_FIXED = {
    *("acks", "request.required.acks"),
    *("allow.auto.create.topics", "check.crcs"),
    *("auto.commit.enable", "enable.auto.commit", "enable.auto.offset.store"),
    *("auto.offset.reset", "offset.store.method", "enable.partition.eof", "isolation.level"),
    *("bootstrap.servers", "metadata.broker.list"),
    *("delivery.timeout.ms", "message.timeout.ms", "delivery.report.only.error"),
    *("enable.gapless.guarantee", "enable.idempotence", "transactional.id"),
    *("message.send.max.retries", "retries"),
    *("enable.ssl.certificate.verification", "log.queue"),
    *("group.id", "group.instance.id", "group.protocol"),
    *("partition.assignment.strategy", "partitioner"),
}


def checked(options: Mapping[str, str]) -> dict[str, str]:
    """These options, after a check.

    Raises:
        Misconfigured: An option is unknown or fixed, or its value is invalid.
    """
    for name in options:
        if name in _FIXED:
            raise Misconfigured(f"the Kafka option {name} is fixed by the writer's guarantees")
    try:
        Consumer({"group.id": "none", "log.queue": True, **options}).close()
    except KafkaException as error:
        raise Misconfigured(f"librdkafka rejects an option: {error.args[0].str()}") from None
    return dict(options)


def with_security(security: KafkaSecurity, options: Mapping[str, str]) -> dict[str, str]:
    """These options, with dots in their names, and those of the security unless given.

    Raises:
        Misconfigured: User name or password is missing.
    """
    given = {name.replace("_", "."): value for name, value in options.items()}
    found = security.options(access_options(given))
    if "ssl_certfile" in found:
        found.setdefault("ssl_keyfile", found["ssl_certfile"])
    return {_SECURITY[name]: value for name, value in found.items() if name != CHECK_HOST} | given


CHECK_HOST = "ssl_check_hostname"


def access_options(options: Mapping[str, str]) -> dict[str, Any]:
    """The options for encryption and credentials, by their names in kafka-python."""
    found: dict[str, Any] = {
        known: options[name] for known, name in _SECURITY.items() if name in options
    }
    if CHECK_HOST in found:
        found[CHECK_HOST] = found[CHECK_HOST] != "none"
    return found


def is_known_access(options: Mapping[str, str]) -> bool:
    """Whether `access_options` returns all options for encryption and credentials."""
    about = [name for name in options if name.startswith(("sasl.", "ssl."))]
    return set(about) <= set(_SECURITY.values())
