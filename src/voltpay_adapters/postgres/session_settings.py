"""The settings that every session sets, so that no default of server, database or role matters."""

from __future__ import annotations

from collections.abc import Mapping

from pg8000.native import Connection

AT_START = {"client_encoding": "UTF8"}
"""The setting of the startup message; poolers accept no other setting there."""

# All settings that a user may change and that affect how statements are read, how values are
# written, what a transaction sees, or how long anything may take. The administrator decides the
# others: planner, memory, logs and tablespaces.
_ALWAYS = {
    **AT_START,
    # how statements are read
    "array_nulls": "on",
    "backslash_quote": "safe_encoding",
    "check_function_bodies": "on",
    "escape_string_warning": "on",
    "plpgsql.extra_errors": "none",  # otherwise pg_partman's functions may not compile
    "restrict_nonsystem_relation_kind": "",
    "row_security": "on",
    "search_path": "pg_catalog",
    "standard_conforming_strings": "on",
    "timezone_abbreviations": "Default",
    "transform_null_equals": "off",
    "xmloption": "content",
    # how values are written
    "DateStyle": "ISO, MDY",
    "IntervalStyle": "postgres",
    "TimeZone": "UTC",
    "bytea_output": "hex",
    "client_min_messages": "warning",
    "debug_print_plan": "off",  # its constants are payments
    "extra_float_digits": "1",
    "log_parameter_max_length_on_error": "0",  # parameters are payments
    "quote_all_identifiers": "off",
    "xmlbinary": "base64",
    # what a transaction sees, and what tables it creates
    "default_table_access_method": "heap",
    "default_transaction_deferrable": "off",
    "default_transaction_isolation": "read committed",
    "default_transaction_read_only": "off",
    # how long anything may take
    "exit_on_error": "off",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
    "tcp_user_timeout": "0",
    "transaction_timeout": "0",
}

# A commit must be durable when the server confirms it; remote_apply waits even longer.
_DURABLE = """CASE WHEN pg_catalog.current_setting('synchronous_commit')
    OPERATOR(pg_catalog.=) 'remote_apply' THEN 'remote_apply' ELSE 'on' END"""


def fix(connection: Connection, settings: Mapping[str, str]) -> tuple[int, dict[str, str]]:
    """Set all of them in one round trip; skip those that this server does not know.

    Args:
        settings: Further settings, or other values for these.

    Returns:
        The id of the server process, and the settings in force now.
    """
    values = ", ".join(f"('{name}', '{value}')" for name, value in {**_ALWAYS, **settings}.items())
    rows = connection.run(
        f"""
        SELECT pg_catalog.pg_backend_pid(), name, pg_catalog.set_config(name, value, false)
        FROM (VALUES {values}, ('synchronous_commit', {_DURABLE})) AS wanted (name, value)
        WHERE pg_catalog.current_setting(name, true) IS NOT NULL
        """  # noqa: S608 - constants
    )
    return rows[0][0], {name: value for _, name, value in rows}
