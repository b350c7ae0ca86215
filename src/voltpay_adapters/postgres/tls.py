"""Encryption of connections to PostgreSQL."""

from __future__ import annotations

import ssl

from voltpay_core.errors import Misconfigured


def tls_context(mode: str, certificates: str | None = None) -> ssl.SSLContext | None:
    """The TLS context for a mode; None for ``disable``.

    Args:
        mode: libpq's ``disable``, ``require`` (any server is trusted) or ``verify-full``.
        certificates: A PEM file of the certificates to trust; None uses the system's own.

    Raises:
        Misconfigured: The certificates cannot be read (``database-certificates``).
    """
    if mode == "disable":
        return None
    try:
        context = ssl.create_default_context(cafile=certificates)
    except OSError as error:
        raise Misconfigured(
            f"cannot use the certificates in {certificates}: {error}", code="database-certificates"
        ) from None
    if mode == "require":
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context
