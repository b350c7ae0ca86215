"""Logs on stderr: one line each, never the contents of a payment."""

from __future__ import annotations

import logging
import sys

_FORMAT = "%(asctime)s %(levelname)s %(message)s"
_LIBRARIES = {"kafka": logging.ERROR, "voltpay": None}


def log_to_stderr(level: str) -> None:
    """Log on stderr from this level on, and what the Kafka client tells from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(_FORMAT))
    for name, fixed in _LIBRARIES.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(fixed or level.upper())
