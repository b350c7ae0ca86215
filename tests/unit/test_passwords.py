"""Passwords as PostgreSQL hashes them: the examples of the RFCs, and what they leave to us."""

import re
from base64 import b64decode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.postgres.passwords import encoded, prepared, scram_verifier
from voltpay_core.errors import Misconfigured


@pytest.mark.parametrize(
    ("password", "hashed"),
    [
        ("user", "user"),
        ("USER", "USER"),
        ("I\u00adX", "IX"),  # mapped to nothing
        ("\u00aa", "a"),  # normalised by compatibility
        ("\u2168", "IX"),
        ("a\u00a0b", "a b"),  # a space of another kind
        ("\u0627\u0628", "\u0627\u0628"),  # right to left throughout
        ("\u06271\u0628", "\u06271\u0628"),
        ("Paßwort", "Paßwort"),
    ],
)
def test_a_password_is_prepared_as_saslprep_says(password: str, hashed: str) -> None:
    """The examples of RFC 4013, and one of each of its steps."""
    assert prepared(password.encode()) == hashed.encode()


@pytest.mark.parametrize(
    "raw",
    [
        *(
            f"é{prohibited}".encode()
            for prohibited in (
                *("\u0221", "\x07", "\u0085", "\ue000", "\ufdd0", "\ufffd", "\u2ff0", "\u200e"),
                "\U000e0001",
            )
        ),
        "\u06271".encode(),  # right to left at its beginning only
        "\u0627a\u0628".encode(),  # both directions
        "\u00ad".encode(),  # nothing is left
        b"\xff\xfe",  # no UTF-8
    ],
)
def test_what_saslprep_prohibits_is_hashed_as_it_is(raw: bytes) -> None:
    """A password with a character of each prohibited table is taken byte for byte."""
    assert prepared(raw) == raw


def test_a_verifier_is_that_of_the_rfc() -> None:
    """The keys of RFC 7677's example, in PostgreSQL's notation."""
    assert scram_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")) == (
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="
        ":wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    )


def test_each_verifier_has_a_salt_of_its_own() -> None:
    """Equal passwords have different verifiers, with 16 random bytes of salt each."""
    salts = {scram_verifier("x").split("$")[1].partition(":")[2] for _ in range(3)}
    assert len(salts) == 3
    assert {len(b64decode(salt)) for salt in salts} == {16}


@given(raw=st.binary().filter(lambda raw: b"\0" not in raw))
def test_any_bytes_but_nul_are_a_password(raw: bytes) -> None:
    """The bytes of a file or of the environment are kept, also if they are no UTF-8."""
    assert encoded(raw.decode("utf-8", "surrogateescape")) == raw


@pytest.mark.parametrize(("password", "why"), [("a\0b", "NUL"), ("\ud800", "surrogate")])
def test_what_no_password_can_have_is_named_without_it(password: str, why: str) -> None:
    """The message says which kind of character it is, and does not show the password."""
    with pytest.raises(Misconfigured, match=re.escape(why)) as raised:
        encoded(password)
    assert password not in str(raised.value)
    assert raised.value.__cause__ is None
