"""The defaults that the command line reads before it needs the client."""

BATCH_BYTES = 16 * 1024 * 1024
"""Bytes that one fetch gets from one broker, at most."""

ACK_TIMEOUT = 30
"""Seconds to wait for acknowledgements."""
