"""Reads the written payments from PostgreSQL, in read-only transactions."""

from __future__ import annotations

import ssl
from collections.abc import Sequence

from attrs import define, field

from voltpay_adapters.postgres.session import Row, Session
from voltpay_adapters.postgres.timeouts import Timeouts
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Unavailable
from voltpay_core.ids import PaymentId
from voltpay_core.payments import Status, StoredPayment
from voltpay_core.ports import PaymentRange

_TIMEOUTS = Timeouts(statement=600)  # a count may read some months

# The condition on the time prunes months; those on the id find the page in the index.
_WITHIN = """
    created_at >= :start::timestamptz AND created_at < :end::timestamptz AND id > :above
    AND id < :below
"""
_COUNT = f"SELECT count(*) FROM write.payment_core WHERE {_WITHIN}"  # noqa: S608 - constants
# The page comes before the joins. PostgreSQL takes id and time for independent, so it expects one
# row of a join by both and not a thousand, and would join whole months for each page.
_READ = f"""
    WITH page AS MATERIALIZED (
        SELECT * FROM write.payment_core WHERE {_WITHIN} ORDER BY id LIMIT :most
    )
    SELECT id, account_id, trim_scale(amount), currency, status, type, comment, external_ref_id,
           updated_at, version
    FROM page
    JOIN write.payment_metadata USING (id, created_at)
    JOIN write.payment_notes USING (id, created_at)
    ORDER BY id
"""  # noqa: S608 - constants


@define
class PostgresPaymentReader:
    """A `PaymentReader` with a connection of its own, which is opened at its first use.

    It leases no node id, and PostgreSQL keeps its session from writing. Amounts come without zeros
    at the end of their fractions, since PostgreSQL keeps the value alone.

    Attributes:
        target: The database, with the writer's user and password.
        tls: The TLS context; None for no encryption.
    """

    _target: DatabaseUrl
    _tls: ssl.SSLContext | None = None
    _session: Session | None = field(default=None, init=False)

    def read(self, payments: PaymentRange, limit: int) -> Sequence[StoredPayment]:
        """Return the first payments of the range in the order of their ids."""
        return [_payment(row) for row in self._run(_READ, payments, most=limit)]

    def count(self, payments: PaymentRange) -> int:
        """Return the number of payments in the range."""
        ((count,),) = self._run(_COUNT, payments)
        return int(count)

    def close(self) -> None:
        """Close the connection."""
        if self._session is not None:
            self._session.close()
            self._session = None

    def _run(self, sql: str, payments: PaymentRange, **more: int) -> list[Row]:
        try:
            if self._session is None:
                self._session = Session.open(self._target, _TIMEOUTS, self._tls)
                self._session.run(
                    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY;"
                    " SET plan_cache_mode = force_custom_plan"  # which knows the limit of a page
                )
            above, below = payments.ids
            return self._session.run(
                sql,
                start=payments.start.isoformat(),
                end=payments.end.isoformat(),
                above=above,
                below=below,
                **more,
            )
        except Unavailable:
            self.close()  # the server may be a standby now: the next call looks for the primary
            raise


def _payment(row: Row) -> StoredPayment:
    payment_id, account_id, amount, currency, status, kind, comment, ref, updated_at, version = row
    return StoredPayment(
        PaymentId.parse(payment_id),
        account_id,
        amount,
        currency,
        Status(status),
        kind,
        comment,
        ref,
        updated_at,
        version,
    )
