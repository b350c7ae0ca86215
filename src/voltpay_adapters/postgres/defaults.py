"""The defaults that the command line reads before it needs the driver."""

CLOCK_SKEW = 30
"""Seconds that this machine's clock and the database's may be apart."""

SSLMODE = "disable"
"""How the connection is encrypted, in libpq's words."""

LIQUIBASE = "liquibase"
"""The program of Liquibase, on PATH."""
