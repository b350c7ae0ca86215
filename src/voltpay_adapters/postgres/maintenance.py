"""pg_partman's daily maintenance: creates the payment tables' partitions of the next months."""

from __future__ import annotations

import ssl

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.inspection import PAYMENT_TABLES, TablePartition, partitions
from voltpay_adapters.postgres.urls import DatabaseUrl


def maintain(target: DatabaseUrl, tls: ssl.SSLContext | None = None) -> tuple[TablePartition, ...]:
    """Create the missing partitions of the next months.

    Maintenance does not block writers. It also catches up after months without maintenance, and
    creates no DEFAULT partition. Each table has its own transaction. It works with pg_partman 4 and
    5; for each table, version 5 reads the newest month that has rows once.

    Args:
        target: The database, with the migrator as its user.
        tls: The TLS context; None for no encryption.

    Returns:
        All partitions that exist now.

    Raises:
        Unavailable: The database cannot be reached, or has no schema.
    """
    with admin_connection(target, tls) as connection:
        for table in PAYMENT_TABLES:
            connection.run(
                "SELECT partman.run_maintenance("
                f"p_parent_table := 'write.{table}', p_analyze := false, p_jobmon := false)"
            )
        return partitions(connection)
