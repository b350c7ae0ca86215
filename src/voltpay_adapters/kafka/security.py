"""Encryption of connections to Kafka, and authentication with the brokers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from voltpay_core.errors import Misconfigured


@frozen
class KafkaSecurity:
    """Encryption and authentication.

    Attributes:
        protocol: ``PLAINTEXT``, ``SSL``, ``SASL_PLAINTEXT`` or ``SASL_SSL``.
        sasl_mechanism: ``PLAIN``, ``SCRAM-SHA-256`` or ``SCRAM-SHA-512``.
        cafile: A PEM file of the certificates to trust; None uses the system's own.
        certfile: A PEM file of the client's certificate.
        keyfile: A PEM file of the certificate's key; None if it is in `certfile`.
    """

    protocol: str = "PLAINTEXT"
    sasl_mechanism: str = "SCRAM-SHA-512"
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    cafile: str | None = None
    certfile: str | None = None
    keyfile: str | None = None

    def options(self, more: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The options of the Kafka client, by its names.

        Args:
            more: Further options, which take precedence.

        Raises:
            Misconfigured: The user name (``kafka-username-missing``) or the password
                (``kafka-password-missing``) is missing.
        """
        files = {
            "ssl_cafile": self.cafile,
            "ssl_certfile": self.certfile,
            "ssl_keyfile": self.keyfile,
        }
        options: dict[str, Any] = {
            "security_protocol": self.protocol,
            **{name: path for name, path in files.items() if path},
        }
        if self.protocol.startswith("SASL"):
            options |= {
                "sasl_mechanism": self.sasl_mechanism,
                "sasl_plain_username": self.username,
                "sasl_plain_password": self.password,
            }
        options |= more or {}
        _check_credentials(options)
        return options


def _check_credentials(options: Mapping[str, Any]) -> None:
    protocol, mechanism = options["security_protocol"], options.get("sasl_mechanism", "")
    if not (protocol.startswith("SASL") and mechanism.startswith(("PLAIN", "SCRAM"))):
        return
    for name in ("username", "password"):
        if not options.get(f"sasl_plain_{name}"):
            raise Misconfigured(
                f"{protocol} needs a {name} for Kafka, and none is set",
                code=f"kafka-{name}-missing",
            )
