"""The one table that maps an SQLSTATE to a kind of failure."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from pg8000.exceptions import DatabaseError, InterfaceError

from voltpay_core.errors import Misconfigured, PaymentIdTaken, Rejected, Unavailable

CHECK_VIOLATION = "23514"
UNIQUE_VIOLATION = "23505"
DISK_FULL = "53100"
UNTRANSLATABLE = "22P05"

_REJECTION_SQLSTATES = ("22", "23502", UNIQUE_VIOLATION, "P0001")
_TRANSIENT_SQLSTATES = ("08", "25006", "25P03", "40001", "40P01", "53", "55P03", "57", "58")
_MAY_HOLD_VALUES = ("22", "23", "P0")


@contextmanager
def translate_errors(label: str, *, carries_payments: bool = True) -> Iterator[None]:
    """Translate the errors of pg8000 into the core's kinds of failure.

    Args:
        label: The database's name for people, without its password.
        carries_payments: Whether the statement carries payments. The database may reject them, and
            no message may print them.
    """
    try:
        yield
    except (Misconfigured, Unavailable):
        raise
    except DatabaseError as error:
        fields = error.args[0]
        if not carries_payments:
            raise _unavailable(label, fields, str(fields.get("M"))) from error
        hidden = fields.get("C", "").startswith(_MAY_HOLD_VALUES)  # DETAIL prints whole rows
        raise failure(label, fields) from (None if hidden else error)
    except (InterfaceError, OSError) as error:
        raise Unavailable(
            f"PostgreSQL at {label} cannot be reached: {error}", code="database"
        ) from error
    except Exception as error:  # noqa: BLE001 - pg8000 raises any exception for a strange answer
        if carries_payments and isinstance(error, UnicodeEncodeError):
            reason = "its text cannot be encoded for the database"
            raise Rejected("refused-by-database", reason) from None
        raise Unavailable(
            f"PostgreSQL at {label} sent an answer that cannot be read ({type(error).__name__}):"
            " is it a PostgreSQL server?",
            code="database",
        ) from None


def failure(label: str, fields: dict[str, str]) -> Exception:
    """The failure for an error response of PostgreSQL to a statement that carries payments.

    Args:
        fields: The response by field code: C is the SQLSTATE, n the constraint, t the table.
    """
    sqlstate, constraint = fields.get("C", ""), fields.get("n")
    if sqlstate == UNIQUE_VIOLATION and fields.get("t", "").startswith("payment_"):
        reason = "the payment id is taken"
        return PaymentIdTaken(
            "refused-by-database", reason, sqlstate=sqlstate, constraint=constraint
        )
    if sqlstate.startswith(_REJECTION_SQLSTATES) or (sqlstate == CHECK_VIOLATION and constraint):
        reason = f"the database rejects the payment with SQLSTATE {sqlstate}"
        return Rejected("refused-by-database", reason, sqlstate=sqlstate, constraint=constraint)
    if sqlstate == CHECK_VIOLATION:
        words = f"{fields.get('t')} has no partition for this month"
        return _unavailable(label, fields, words, code="no-partition")
    hidden = sqlstate.startswith(_MAY_HOLD_VALUES)
    return _unavailable(label, fields, None if hidden else fields.get("M"))


def _unavailable(
    label: str, fields: dict[str, str], words: str | None, code: str = "database"
) -> Unavailable:
    sqlstate = fields.get("C", "")
    passing = sqlstate.startswith(_TRANSIENT_SQLSTATES) and sqlstate != DISK_FULL
    reason = f"PostgreSQL at {label}: SQLSTATE {sqlstate}"
    return Unavailable(f"{reason}: {words}" if words else reason, halt=not passing, code=code)
