"""How servers are trusted, by libpq's words for it."""

import ssl
from pathlib import Path

import pytest
from trustme import CA

from voltpay_adapters.kafka import preflight
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


@pytest.mark.parametrize("protocol", [None, "PLAINTEXT", "SASL_PLAINTEXT"])
def test_kafka_without_tls_has_no_context(protocol: str | None) -> None:
    """Other options of TLS mean nothing where the protocol has none."""
    options = {"security_protocol": protocol} if protocol else {}
    assert preflight.tls_context({**options, "ssl_cafile": "none.pem"}) is None


@pytest.mark.parametrize("protocol", ["SSL", "SASL_SSL"])
@pytest.mark.parametrize("checks", [None, True, False])
def test_kafka_trusts_whom_its_options_name(
    protocol: str, checks: bool | None, tmp_path: Path
) -> None:
    """Certificates are always verified, names unless they shall not be, and old TLS is refused."""
    authority = CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    mine = authority.issue_cert("client")
    mine.private_key_and_cert_chain_pem.write_to_path(tmp_path / "mine.pem")
    options = {
        "security_protocol": protocol,
        "ssl_cafile": str(tmp_path / "ca.pem"),
        "ssl_certfile": str(tmp_path / "mine.pem"),
        **({} if checks is None else {"ssl_check_hostname": checks}),
    }
    context = preflight.tls_context(options)
    assert context is not None
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname is (checks is not False)
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert len(context.get_ca_certs()) == 1
    assert not context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF


@pytest.mark.parametrize("option", ["cafile", "certfile", "crlfile"])
def test_a_file_that_kafka_cannot_use_is_named(option: str, tmp_path: Path) -> None:
    """A missing file, and one that is no certificate, is a wrong setting."""
    (tmp_path / "empty.pem").touch()
    for name in ("none.pem", "empty.pem"):
        options = {"security_protocol": "SSL", f"ssl_{option}": str(tmp_path / name)}
        with pytest.raises(Misconfigured, match=f"cannot use .*{name} for TLS") as raised:
            preflight.tls_context(options)
        assert raised.value.code == f"kafka-{option}"


def test_kafka_checks_for_revoked_certificates_if_it_is_told(tmp_path: Path) -> None:
    """With a file of revoked certificates the broker's certificate is looked up there."""
    authority = CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    options = {"security_protocol": "SSL", "ssl_crlfile": str(tmp_path / "ca.pem")}
    context = preflight.tls_context(options)
    assert context is not None
    assert context.verify_flags & ssl.VERIFY_CRL_CHECK_LEAF
