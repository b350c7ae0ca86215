"""A file of payments to write to, as `FileSource` reads it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec
from attrs import define, field

from voltpay_adapters.local.files import STDIN, envelope
from voltpay_adapters.local.memory import Acknowledged
from voltpay_core.errors import Misconfigured, Unavailable
from voltpay_core.messages import Event
from voltpay_core.ports import Publication


class _Named(msgspec.Struct):
    account_id: int | None = msgspec.field(name="accountId", default=None)
    cust_id: int | None = msgspec.field(name="custId", default=None)
    message_id: str = msgspec.field(name="messageId", default="")


_decode = msgspec.json.Decoder(_Named).decode


@define
class FilePayments:
    """An `EventPublisher` that appends to one file of payments; ``-`` is the standard output.

    A payment under its own account's key is a plain line; whatever else is an envelope.
    """

    _path: str
    _file: IO[bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        """Open the file, made where there is none.

        Raises:
            Misconfigured: It cannot be written.
        """
        try:
            self._file = (
                sys.stdout.buffer if self._path == STDIN else Path(self._path).open("ab")  # noqa: SIM115 - closed by close()
            )
        except OSError as error:
            raise Misconfigured(f"cannot write {self._path}: {error.strerror}") from None

    def publish(self, events: Sequence[Event]) -> Publication:
        """Append the records."""
        try:
            self._file.writelines(line(event) + b"\n" for event in events)
            self._file.flush()
        except BrokenPipeError:
            raise  # whoever reads our output has seen enough
        except OSError as error:
            raise Unavailable(f"cannot write {self._path}: {error.strerror}") from error
        return Acknowledged()

    def reset(self) -> None:
        """Nothing is ever on its way here."""

    def close(self) -> None:
        """Close the file."""
        if self._path != STDIN:
            self._file.close()


def line(event: Event) -> bytes:
    """The line that is read back as a record of this key, value and these headers."""
    value = event.value
    if value is None or event.key is None or event.headers or b"\n" in value:
        return envelope(event)
    return value if _key(value) == event.key else envelope(event)


def _key(value: bytes) -> bytes | None:
    """The key that a plain line of this value gets; None where it would not do."""
    try:
        named = _decode(value)
    except (ValueError, RecursionError):
        return None
    account = named.cust_id if named.account_id is None else named.account_id
    return None if account is None or not named.message_id else str(account).encode()
