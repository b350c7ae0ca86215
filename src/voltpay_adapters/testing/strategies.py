"""Payments and texts of every kind, as Hypothesis strategies."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import strategies as st

from voltpay_core.payments import MAX_ACCOUNT_ID, NewPayment, Status

ODD_TEXTS = (
    *("null", "NULL", "Null", "None", "NaN", "true", "0", "-1", "1e5", "2024-01-01", r"\N", r"\."),
    *('"', "'", "''", "\\", "\\\\", "{", "}", "{}", "[]", "a,b", "(", "%s", "$1", ":name", "?"),
    *(" ", "\t", "\n", "\r\n", " a ", "a\x0bb", "\x7f", "\x01", "\u2028", "\ufeff", "\ufffe"),
    *("é", "e\u0301", "ß", "İ", "😀", "👩‍👧", "\u202eabc", "A", "a", "-- ", "/*", "';DROP TABLE x"),
)


def texts(longest: int) -> st.SearchStrategy[str]:
    """Acceptable text of 1 to that many characters: all of Unicode but NUL and surrogates."""
    characters = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
    return st.one_of(
        st.text("abc", min_size=1, max_size=8),
        st.sampled_from(ODD_TEXTS),
        st.text(characters, min_size=1, max_size=longest),
        st.sampled_from(("a" * longest, "😀" * longest)),
    )


message_ids = texts(255).filter(lambda text: not text.startswith("dead:"))
account_ids = st.one_of(
    st.integers(1, 5), st.sampled_from((0, 1, MAX_ACCOUNT_ID)), st.integers(0, MAX_ACCOUNT_ID)
)
amounts = st.one_of(
    st.sampled_from(("0.000001", "99999999999999.999999", "0.1", "1E+13", "1.50", "100")).map(
        Decimal
    ),
    st.integers(0, 6).flatmap(
        lambda places: st.integers(1, 10 ** (14 + places) - 1).map(
            lambda digits: Decimal(digits).scaleb(-places)
        )
    ),
)
currencies = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ", min_size=3, max_size=3)
types = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=1, max_size=3)


def new_payments(
    message_ids: st.SearchStrategy[str] = message_ids,
    account_ids: st.SearchStrategy[int] = account_ids,
) -> st.SearchStrategy[NewPayment]:
    """Payments as producers may state them."""
    return st.builds(
        NewPayment,
        message_id=message_ids,
        account_id=account_ids,
        amount=amounts,
        currency=currencies,
        status=st.sampled_from(Status),
        type=types,
        comment=st.none() | texts(300),
        external_ref_id=st.none() | texts(200),
    )
