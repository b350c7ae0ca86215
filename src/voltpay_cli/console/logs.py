"""Logs on stderr: one line each, never the contents of a payment."""

from __future__ import annotations

import logging
import sys

from voltpay_adapters.kafka.logs import SeldomFilter
from voltpay_adapters.private_tracebacks import PrivateFormatter
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


def log_to_stderr(level: str) -> None:
    """Log on stderr from this level on, and failures of the libraries."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrivateFormatter(_FORMAT))
    handler.addFilter(SeldomFilter())
    for name, fixed in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.filters = [_add_remedies]
        logger.setLevel(fixed or level.upper())
