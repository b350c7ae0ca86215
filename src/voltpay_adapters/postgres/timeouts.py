"""How long PostgreSQL and its client wait."""

from __future__ import annotations

from attrs import frozen


@frozen
class Timeouts:
    """Timeouts in seconds; the client's is longer than the server's.

    Attributes:
        lock: For a row that another transaction has locked.
        statement: For one statement.
        idle: For a transaction whose client sends nothing, such as a stalled process (G5).
    """

    lock: float = 10
    statement: float = 30
    idle: float = 60

    @property
    def client(self) -> float:
        """For one answer, before the connection counts as dead."""
        return self.statement * 1.2 + 5

    def for_server(self) -> dict[str, str]:
        """As PostgreSQL's settings."""
        return {
            "lock_timeout": str(int(self.lock * 1000)),
            "statement_timeout": str(int(self.statement * 1000)),
            "idle_in_transaction_session_timeout": str(int(self.idle * 1000)),
            "tcp_keepalives_idle": "15",  # the server ends the session of a vanished client,
            "tcp_keepalives_interval": "5",  # and with it the lease of its node id
            "tcp_keepalives_count": "3",
        }
