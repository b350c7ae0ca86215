"""The adapters: Kafka, PostgreSQL, files, SQLite and lists behind the ports of the core.

The front door assembles them: `payment_writer` embeds the writer, `subscribe` consumes its events.
"""

from typing import TYPE_CHECKING

from voltpay_adapters.lazy_imports import exports

if TYPE_CHECKING:
    from voltpay_adapters.assembly import payment_writer, subscribe
    from voltpay_adapters.retrying import backoff
    from voltpay_adapters.seen_events import SeenEvents
else:
    __getattr__ = exports(
        __name__,
        SeenEvents="seen_events",
        backoff="retrying",
        payment_writer="assembly",
        subscribe="assembly",
    )

__all__ = ["SeenEvents", "backoff", "payment_writer", "subscribe"]
