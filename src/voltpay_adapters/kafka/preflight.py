"""A greeting before there is a client: who is not trusted, or does not let us in, says so."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.sasl import get_sasl_mechanism
from kafka.protocol.parser import KafkaProtocol
from kafka.protocol.sasl import SaslAuthenticateRequest, SaslHandshakeRequest

from voltpay_core.errors import Misconfigured, Unavailable

_PATIENCE = 3  # seconds for one answer; whoever is slower is left to the client


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext | None:
    """What kafka-python would make of its ``ssl_*`` options; None where nothing is encrypted.

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


def check_access(servers: Iterable[str], options: Mapping[str, Any]) -> None:
    """Let the first server that answers tell who it is and let us in, where that is asked for.

    kafka-python itself would try again for minutes: over TLS it loses a broker's refusal, because
    the connection is closed right behind it.

    Raises:
        Unavailable: (halt) Its certificate is not trusted, or it does not let us in.
    """
    if _protocol(options) == "PLAINTEXT":
        return
    for server in servers:
        with suppress(OSError):  # the client tells what is wrong where nobody answers
            _greet(server, options)
            return


def _greet(server: str, options: Mapping[str, Any]) -> None:
    try:
        with _connected(server, options.get("ssl_context")) as link:
            if _protocol(options).startswith("SASL"):
                _enter(server, link, options)
    except ssl.SSLCertVerificationError as error:
        raise Unavailable(
            f"Kafka at {server} is not to be trusted: {error.verify_message}",
            halt=True,
            code="kafka-untrusted",
        ) from error
    except (ValueError, kafka_errors.KafkaProtocolError) as error:
        raise Unavailable(
            f"Kafka at {server} answers wrongly when greeted: {error}", code="kafka-protocol"
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
    link = socket.create_connection((host, int(port)), timeout=_PATIENCE)
    try:
        return context.wrap_socket(link, server_hostname=host) if context else link
    except BaseException:
        link.close()
        raise


def _enter(server: str, link: socket.socket, options: Mapping[str, Any]) -> None:
    name = options["sasl_mechanism"]
    protocol = KafkaProtocol(client_id="voltpay")
    known = _ask(link, protocol, SaslHandshakeRequest(mechanism=name, version=1))
    _check(server, known, f"it knows {', '.join(known.mechanisms) or 'no SASL'}, and not {name}")
    mechanism = get_sasl_mechanism(name)(host=server.rpartition(":")[0], **options)
    while not mechanism.is_done():
        request = SaslAuthenticateRequest(mechanism.auth_bytes(), version=0)
        answer = _ask(link, protocol, request)
        _check(server, answer, answer.error_message)
        mechanism.receive(answer.auth_bytes)


def _ask(link: socket.socket, protocol: KafkaProtocol, request: Any) -> Any:
    protocol.send_request(request)
    link.sendall(protocol.send_bytes())
    while said := link.recv(4096):
        for _, response in protocol.receive_bytes(said):
            return response
    raise ConnectionError("closed without an answer")


def _check(server: str, answer: Any, reason: str | None) -> None:
    if answer.error_code:
        error = kafka_errors.for_code(answer.error_code).__name__
        raise Unavailable(
            f"Kafka at {server} does not let us in: {reason or error}",
            halt=True,
            code="kafka-credentials",
        )
