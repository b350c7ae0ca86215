"""Where a process listens."""

from __future__ import annotations

import re
from typing import Self

from attrs import evolve, frozen

from voltpay_core.errors import Misconfigured

HOST, PORT = "127.0.0.1", 9464
LAST_PORT = 65535
DEFAULT = f"{HOST}:{PORT}"
_FORM = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%]+\]|[\w.-]*)(?::(?P<port>[0-9]{1,5}))?")


@frozen
class Address:
    """Where to listen."""

    host: str = HOST
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``HOST:PORT``, ``HOST`` or ``PORT``; an IPv6 address is written in brackets.

        Raises:
            Misconfigured: It has another form.
        """
        found = _FORM.fullmatch(f":{text}" if text.isdigit() else text)
        if not text or found is None or int(found["port"] or PORT) > LAST_PORT:
            raise Misconfigured("needs HOST:PORT, such as 0.0.0.0:9464, or HOST, or PORT")
        return cls(found["host"].strip("[]") or HOST, int(found["port"] or PORT))

    def counted_up(self, count: int) -> list[Self]:
        """This address and those with the following ports; port 0 stands for any free one.

        Raises:
            Misconfigured: The last port is too high.
        """
        if self.port and self.port + count - 1 > LAST_PORT:
            raise Misconfigured(f"{count} processes cannot listen at ports from {self.port} on")
        return [evolve(self, port=self.port and self.port + index) for index in range(count)]

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"
