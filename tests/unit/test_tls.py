"""How PostgreSQL servers are trusted, by libpq's words for it."""

import ssl
from pathlib import Path

import pytest
from trustme import CA

from voltpay_adapters.postgres.tls import tls_context
from voltpay_core.errors import Misconfigured


def test_a_mode_says_whom_to_trust(tmp_path: Path) -> None:
    """`require` trusts any server, `verify-full` those whose name a given certificate proves."""
    CA().cert_pem.write_to_path(tmp_path / "ca.pem")
    assert tls_context("disable", str(tmp_path / "none.pem")) is None
    for given in (None, str(tmp_path / "ca.pem")):
        anybody, proven = tls_context("require", given), tls_context("verify-full", given)
        assert anybody is not None
        assert proven is not None
        assert (anybody.verify_mode, anybody.check_hostname) == (ssl.CERT_NONE, False)
        assert (proven.verify_mode, proven.check_hostname) == (ssl.CERT_REQUIRED, True)
    mine = tls_context("verify-full", str(tmp_path / "ca.pem"))
    assert mine is not None
    assert len(mine.get_ca_certs()) == 1


def test_certificates_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    """A missing file of certificates is a wrong setting."""
    with pytest.raises(Misconfigured, match=r"none\.pem") as raised:
        tls_context("verify-full", str(tmp_path / "none.pem"))
    assert raised.value.code == "database-certificates"
