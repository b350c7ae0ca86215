"""Payments that break a rule cannot be created."""

from decimal import Decimal
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from voltpay_adapters.testing.strategies import new_payments
from voltpay_core.errors import Rejected
from voltpay_core.payments import NewPayment, Status

GOOD = NewPayment("m", 1, Decimal(1), "EUR", Status.SUCCESS, "VSA")
ON_THE_WIRE = {
    "message_id": "messageId",
    "account_id": "accountId",
    "external_ref_id": "externalRefId",
}
CANARY = "canary-4711"


@given(new_payments())
def test_what_is_within_the_rules_is_made(payment: NewPayment) -> None:
    """Every payment within the rules can be created, and has the given values."""
    assert evolve(payment) == payment


@given(
    amount=st.one_of(
        st.decimals(max_value=0, allow_nan=False),
        st.decimals(min_value=Decimal(10) ** 14, allow_infinity=True, allow_nan=False),
        st.sampled_from(("NaN", "sNaN", "-Infinity", "0.0000001", "1E-7", "1.0000000")).map(
            Decimal
        ),
    )
)
def test_no_amount_is_rounded_or_bent(amount: Decimal) -> None:
    """An amount that is out of range or too precise is rejected, and never rounded."""
    with pytest.raises(Rejected) as caught:
        evolve(GOOD, amount=amount)
    assert caught.value.code == "invalid-field"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"message_id": ""}, "invalid-field"),
        ({"message_id": CANARY * 30}, "invalid-field"),
        ({"message_id": f"dead:{CANARY}"}, "invalid-field"),
        ({"message_id": f"{CANARY}\0"}, "bad-text"),
        ({"message_id": f"{CANARY}\udfff"}, "bad-text"),
        ({"account_id": -4711}, "invalid-field"),
        ({"account_id": 2**63}, "invalid-field"),
        ({"currency": CANARY}, "invalid-field"),
        ({"currency": "eur"}, "invalid-field"),
        ({"currency": "EÜR"}, "invalid-field"),
        ({"type": CANARY}, "invalid-field"),
        ({"type": ""}, "invalid-field"),
        ({"type": "²"}, "invalid-field"),
        ({"comment": CANARY * 30}, "invalid-field"),
        ({"comment": ""}, "invalid-field"),
        ({"comment": f"{CANARY}\0"}, "bad-text"),
        ({"external_ref_id": CANARY * 30}, "invalid-field"),
        ({"external_ref_id": f"\ud800{CANARY}"}, "bad-text"),
    ],
)
def test_a_broken_rule_names_its_field_and_no_value(changes: dict[str, Any], code: str) -> None:
    """A broken rule has a stable code and a reason that names the wire's field and no value."""
    with pytest.raises(Rejected) as caught:
        evolve(GOOD, **changes)
    (name,) = changes
    assert caught.value.code == code
    assert caught.value.reason.startswith(f"{ON_THE_WIRE.get(name, name)} ")
    assert CANARY not in f"{caught.value} {caught.value!r}"
    assert "4711" not in str(caught.value)


def test_a_payment_tells_little_of_itself() -> None:
    """What logs may print of a payment is who and which, not how much or what for."""
    payment = evolve(GOOD, amount=Decimal("4711.5"), comment=CANARY, external_ref_id=CANARY)
    assert CANARY not in repr(payment)
    assert "4711" not in repr(payment)
