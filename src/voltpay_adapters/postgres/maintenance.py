"""The months ahead: pg_partman's maintenance of the payment tables, due daily."""

from __future__ import annotations

import ssl

from voltpay_adapters.postgres.administration import admin_connection
from voltpay_adapters.postgres.inspection import PAYMENT_TABLES, TablePartition, partitions
from voltpay_adapters.postgres.urls import DatabaseUrl


def maintain(target: DatabaseUrl, tls: ssl.SSLContext | None = None) -> tuple[TablePartition, ...]:
    """Make the partitions of the next months that are not there yet.

    Writers are not held up. It also catches up after months without maintenance, and leaves the
    DEFAULT partition unmade. Each table is a transaction of its own. It works with pg_partman 4 and
    5; version 5 reads the newest month that holds rows once for each table.

    Args:
        target: The database, and the migrator to reach it by.
        tls: How to encrypt and whom to trust; None does without.

    Returns:
        All partitions that exist now.

    Raises:
        Unavailable: The database cannot be reached, or has no schema to maintain.
    """
    with admin_connection(target, tls) as connection:
        for table in PAYMENT_TABLES:
            connection.run(
                "SELECT partman.run_maintenance("
                f"p_parent_table := 'write.{table}', p_analyze := false, p_jobmon := false)"
            )
        return partitions(connection)
