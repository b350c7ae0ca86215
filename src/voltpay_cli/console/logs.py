"""Logs on stderr: one line each, never the contents of a payment."""

from __future__ import annotations

import logging

from voltpay_adapters.kafka.logs import SeldomFilter
from voltpay_adapters.private_tracebacks import PrivateFormatter
from voltpay_cli.console.lines import JsonFormatter, use
from voltpay_cli.remedies import with_remedy
from voltpay_core.errors import Misconfigured, Unavailable

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LIBRARIES = {"kafka": logging.ERROR, "opentelemetry": logging.WARNING, "voltpay": None}


def _add_remedies(record: logging.LogRecord) -> bool:
    """Let a line that holds a failure say what to do about it."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            with_remedy(each) if isinstance(each, (Misconfigured, Unavailable)) else each
            for each in record.args
        )
    return True


def log_to_stderr(level: str, form: str = "text") -> None:
    """Log on stderr from this level on, errors of the Kafka client, and warnings of libraries."""
    stream = use(form)
    formatter = JsonFormatter() if form == "json" else PrivateFormatter(_FORMAT)
    log_to(logging.StreamHandler(stream), formatter)
    logging.captureWarnings(form == "json")
    for name, fixed in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.filters = [_add_remedies]
        logger.setLevel(fixed or level.upper())


def log_to(handler: logging.Handler, formatter: PrivateFormatter) -> None:
    """Log to this handler in place of the one before."""
    root = logging.getLogger()
    others = [each for each in root.handlers if not isinstance(each.formatter, PrivateFormatter)]
    handler.setFormatter(formatter)
    handler.addFilter(SeldomFilter())
    root.handlers = [handler, *others]  # first, as a record keeps its first traceback
