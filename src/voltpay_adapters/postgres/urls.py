"""The URL that names a PostgreSQL database, and the user and the secret to reach it by."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self
from urllib.parse import quote, unquote, urlencode, urlsplit

from attrs import field, frozen

from voltpay_core.errors import Misconfigured


@frozen
class DatabaseUrl:
    """A parsed ``postgresql://user[:password]@host:port/database``; its repr keeps the secret."""

    host: str
    port: int
    database: str
    user: str
    password: str | None = field(default=None, repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart; the port is 5432 unless told.

        Raises:
            Misconfigured: The URL has another form; the message does not repeat it.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or 5432
            (parts.hostname or "").encode("idna")  # as a resolver will
        except ValueError:
            raise _malformed() from None
        database = unquote(parts.path.removeprefix("/"))
        well_formed = parts.scheme in {"postgresql", "postgres"} and not parts.query
        if not (well_formed and parts.hostname and parts.username and database):
            raise _malformed()
        password = None if parts.password is None else unquote(parts.password)
        return cls(parts.hostname, port, database, unquote(parts.username), password)

    @property
    def place(self) -> str:
        """The database and the user as people are told of them, without the password."""
        return f"{self.user}@{self.host}:{self.port}/{self.database}"

    def jdbc(self, parameters: Mapping[str, str]) -> str:
        """The same database as Java names it, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"jdbc:postgresql://{host}:{self.port}/{quote(self.database, safe='')}"
        return f"{place}?{urlencode(parameters, quote_via=quote)}"


def _malformed() -> Misconfigured:
    return Misconfigured(
        "the database's URL is not of the form postgresql://user[:password]@host:port/database"
    )
