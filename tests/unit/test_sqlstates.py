"""The kind of failure for each SQLSTATE: one row for every class of PostgreSQL's appendix A."""

import pytest

from voltpay_adapters.postgres.error_mapping import failure
from voltpay_core.errors import PaymentIdTaken, Rejected, Unavailable

REJECTED, TRANSIENT, FATAL = "the payment is at fault", "it heals", "a person is needed"
CLASSES = {
    **dict.fromkeys(("02", "03", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "20", "21"), FATAL),
    **dict.fromkeys(("01", "24", "26", "27", "28", "2B", "2D", "2F", "34", "38", "39"), FATAL),
    **dict.fromkeys(("3B", "3D", "3F", "42", "44", "54", "55", "72", "F0", "HV", "XX"), FATAL),
    **dict.fromkeys(("08", "53", "57", "58"), TRANSIENT),
    "22": REJECTED,
    "23": FATAL,
    "25": FATAL,
    "40": FATAL,
    "P0": FATAL,
}
"""The kind of a class, and so of a code of it that nobody has heard of."""
EXCEPTIONS = {
    "22P05": REJECTED,  # a character that the database's encoding lacks
    "23502": REJECTED,  # not null
    "23505": REJECTED,  # unique, of a table that is none of payments
    "23503": FATAL,  # a foreign key: the writer has none
    "25006": TRANSIENT,  # a standby, or a primary that was demoted
    "25P03": TRANSIENT,  # idle in a transaction for too long: the process was stalled
    "40001": TRANSIENT,  # serialization failure
    "40P01": TRANSIENT,  # deadlock
    "42501": FATAL,  # insufficient privilege
    "42703": FATAL,  # undefined column: the schema has drifted
    "42804": FATAL,  # datatype mismatch: the same
    "42P01": FATAL,  # undefined table
    "53100": FATAL,  # disk full
    "53300": TRANSIENT,  # too many connections
    "55P03": TRANSIENT,  # lock not available
    "57014": TRANSIENT,  # query canceled
    "57P01": TRANSIENT,  # admin shutdown
    "P0001": REJECTED,  # raise exception: a trigger
    "P0002": FATAL,  # no data found: a trigger's bug
}


def kind(sqlstate: str, **fields: str) -> str:
    """The kind of failure of an answer of PostgreSQL."""
    found = failure("db", {"C": sqlstate, "M": "words", **fields})
    if isinstance(found, Rejected):
        return REJECTED
    assert isinstance(found, Unavailable)
    return FATAL if found.halt else TRANSIENT


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_has_one_kind(name: str) -> None:
    """An unnamed code has the kind of its class; an unknown class needs a person."""
    assert kind(f"{name}0ZZ", t="payment_core", n="a_constraint") == CLASSES[name]


@pytest.mark.parametrize("sqlstate", EXCEPTIONS)
def test_a_code_has_its_kind(sqlstate: str) -> None:
    """A named code has its own kind, whatever the kind of its class."""
    assert kind(sqlstate, t="idempotency", n="a_constraint") == EXCEPTIONS[sqlstate]


@pytest.mark.parametrize(
    ("table", "expected"),
    [("payment_core_p20260101", PaymentIdTaken), ("payment_notes", PaymentIdTaken)],
)
def test_a_unique_violation_of_payments_is_a_taken_id(
    table: str, expected: type[Exception]
) -> None:
    """A unique violation is a taken id only in the payment tables."""
    assert type(failure("db", {"C": "23505", "t": table})) is expected
    assert type(failure("db", {"C": "23505", "t": "idempotency"})) is Rejected


def test_a_check_without_a_constraint_is_a_missing_month() -> None:
    """A row without a table partition needs a person, and the error names the table."""
    assert kind("23514", t="payment_core") == FATAL
    assert kind("23514", t="payment_core", n="amount_check") == REJECTED
    assert "payment_core has no partition" in str(
        failure("db", {"C": "23514", "t": "payment_core"})
    )


@pytest.mark.parametrize("sqlstate", ["22001", "23502", "23514", "P0001"])
def test_a_rejection_names_sqlstate_and_constraint_alone(sqlstate: str) -> None:
    """PostgreSQL's message and detail may hold values, so no reason repeats them."""
    fields = {"C": sqlstate, "n": "a_constraint", "M": "canary", "D": "canary", "t": "payment_core"}
    found = failure("db", fields)
    assert isinstance(found, Rejected)
    assert (found.code, found.sqlstate, found.constraint) == (
        "refused-by-database",
        sqlstate,
        "a_constraint",
    )
    assert "canary" not in f"{found} {found.reason}"
