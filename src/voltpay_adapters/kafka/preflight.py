"""Checks before the first connection that a broker can be trusted and accepts the credentials."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from kafka import errors as kafka_errors

from voltpay_core.errors import Misconfigured, Unavailable

if TYPE_CHECKING:
    from kafka.protocol.parser import KafkaProtocol

_TIMEOUT = 3
"""Seconds for one answer; a slower broker is left to the client."""

_FINAL_ERRORS = (
    kafka_errors.IllegalSaslStateError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
)


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """The TLS context for kafka-python's ``ssl_*`` options; None without TLS.

    Raises:
        Misconfigured: A certificate or key cannot be read.
    """
    if not _protocol(options).endswith("SSL"):
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.check_hostname = options.get("ssl_check_hostname", True)
    if cafile := options.get("ssl_cafile"):
        _read("kafka-cafile", cafile, lambda: context.load_verify_locations(cafile))
    else:
        context.load_default_certs()
    if certfile := options.get("ssl_certfile"):
        key, password = options.get("ssl_keyfile"), options.get("ssl_password")
        _read("kafka-certfile", certfile, lambda: context.load_cert_chain(certfile, key, password))
    if crlfile := options.get("ssl_crlfile"):
        _read("kafka-crlfile", crlfile, lambda: context.load_verify_locations(crlfile))
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_LEAF
    return context


def check_access(servers: Iterable[str], options: Mapping[str, Any]) -> bool:
    """Log in to the first server that answers, if TLS or SASL is set; false if none answers.

    kafka-python would retry wrong credentials for minutes: with TLS it misses the broker's answer,
    because the broker closes the connection at once.

    Raises:
        Unavailable: (halt) The certificate is not trusted, or the credentials or the mechanism are
            wrong.
    """
    if _protocol(options) == "PLAINTEXT":
        return True
    for server in servers:
        with suppress(OSError):  # the client reports servers that cannot be reached
            _check_server(server, options)
            return True
    return False


def _check_server(server: str, options: Mapping[str, Any]) -> None:
    try:
        with _connected(server, options.get("ssl_context")) as link:
            if _protocol(options).startswith("SASL"):
                _log_in(server, link, options)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"Kafka at {server} cannot be trusted: {error.verify_message}",
            halt=True,
            code="kafka-untrusted",
        ) from error
    except (ValueError, kafka_errors.KafkaProtocolError) as error:
        raise Unavailable(
            f"Kafka at {server} sent an invalid answer to the login: {error}", code="kafka-protocol"
        ) from error


def _protocol(options: Mapping[str, Any]) -> str:
    return str(options.get("security_protocol", "PLAINTEXT"))


def _read(code: str, file: str, load: Callable[[], None]) -> None:
    try:
        load()
    except OSError as error:
        raise Misconfigured(f"cannot use {file} for TLS with Kafka: {error}", code=code) from None


def _connected(server: str, context: ssl.SSLContext | None) -> socket.socket:
    host, _, port = server.rpartition(":")
    host = host.strip("[]")
    link = socket.create_connection((host, int(port)), timeout=_TIMEOUT)
    try:
        return context.wrap_socket(link, server_hostname=host) if context else link
    except BaseException:
        link.close()
        raise


def _log_in(server: str, link: socket.socket, options: Mapping[str, Any]) -> None:
    # imported here: these are internals of kafka-python, and nobody needs them without SASL
    from kafka.net.sasl import get_sasl_mechanism  # noqa: PLC0415
    from kafka.protocol.parser import KafkaProtocol  # noqa: PLC0415
    from kafka.protocol.sasl import (  # noqa: PLC0415
        SaslAuthenticateRequest,
        SaslHandshakeRequest,
    )

    name = options["sasl_mechanism"]
    protocol = KafkaProtocol(client_id="voltpay")
    known = _ask(link, protocol, SaslHandshakeRequest(mechanism=name, version=1))
    _check(server, known, f"it supports {', '.join(known.mechanisms) or 'no SASL'}, but not {name}")
    mechanism = get_sasl_mechanism(name)(host=server.rpartition(":")[0], **options)
    while not mechanism.is_done():
        request = SaslAuthenticateRequest(mechanism.auth_bytes(), version=0)
        answer = _ask(link, protocol, request)
        _check(server, answer, answer.error_message)
        mechanism.receive(answer.auth_bytes)


def _ask(link: socket.socket, protocol: KafkaProtocol, request: Any) -> Any:
    protocol.send_request(request)
    link.sendall(protocol.send_bytes())
    while received := link.recv(4096):
        for _, response in protocol.receive_bytes(received):
            return response
    raise ConnectionError("closed without an answer")


def _check(server: str, answer: Any, reason: str | None) -> None:
    if answer.error_code:
        error = kafka_errors.for_code(answer.error_code)
        final = issubclass(error, _FINAL_ERRORS)
        raise Unavailable(
            f"Kafka at {server} rejects the login: {reason or error.__name__}",
            halt=final,
            code="kafka-credentials" if final else "kafka",
        )
