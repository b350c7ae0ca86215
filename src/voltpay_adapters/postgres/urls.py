"""The URL that names a PostgreSQL database, and the user and the secret to reach it by."""

from __future__ import annotations

import re
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import NoReturn, Self
from urllib.parse import quote, unquote, urlencode

from attrs import evolve, field, frozen

from voltpay_core.errors import Misconfigured

FORM = "postgresql://user[:password]@host[:port][,host[:port]]/database"
PORT = 5432
CONNECT_SECONDS = 10
"""How long one address of a host may take until it lets a session in."""

_SCHEME = re.compile(r"postgres(?:ql)?://", re.IGNORECASE)
_URL = re.compile(
    _SCHEME.pattern + r"(?P<user>[^:@/?#\s]*)(?::(?P<password>[^@/?#\s]*))?"
    r"@(?P<hosts>[^@/?#\s]*)/(?P<database>[^@/?#\s]*)(?:\?(?P<parameters>[^@?#\s]*))?",
    re.IGNORECASE,
)
_HOST = re.compile(r"(?P<name>\[[^\[\]]*\]|[^\[\]:]*)(?::(?P<port>[^:]*))?")
_NOT_ENCODED = re.compile(r"%(?![0-9a-fA-F]{2})")
_NOT_PLAIN = "database-url-not-encoded"
_IN_SETTINGS = ("sslmode", "sslrootcert", "password", "passfile")
"""What libpq takes as parameters, and is given beside this URL."""

_ATTRS = "target_session_attrs"
_ACCEPTED_ATTRS = ("primary", "read-write", "any")
_READ_ONLY_ATTRS = ("standby", "read-only", "prefer-standby")
_ELSEWHERE = {
    "connect_timeout": f"it is always {CONNECT_SECONDS} seconds an address",
    "application_name": "it is always voltpay",
    "options": "set what the server is to know with ALTER ROLE",
    "service": "write host and database into the URL",
    **dict.fromkeys(
        ("host", "hostaddr", "port", "user", "dbname"), "write it before the question mark"
    ),
}
"""What libpq takes as parameters and this URL does not, with the way out."""


@frozen
class Host:
    """One server of a URL.

    Attributes:
        name: A name or an address, an IPv6 address without its brackets.
    """

    name: str
    port: int = PORT

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``host``, ``host:port`` or ``[address%zone]:port``.

        Raises:
            Misconfigured: It is none of these.
        """
        found = _HOST.fullmatch(text)
        if found is None:
            _refuse("an IPv6 address is written in brackets, such as [::1]:5432")
        port = found["port"] or str(PORT)
        if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
            _refuse("a port is a number from 1 to 65535")
        return cls(_host_name(found["name"]), int(port))

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}"


@frozen
class DatabaseUrl:
    """A parsed ``postgresql://user[:password]@host[:port]/database``; its repr keeps the secret.

    Attributes:
        hosts: Servers that hold the database; the first one is used that `session_attrs` accepts.
        session_attrs: Which servers are accepted, as libpq's ``target_session_attrs``: ``primary``
            (no standby), ``read-write`` (nor one whose sessions are read-only by default) or
            ``any``.
    """

    hosts: tuple[Host, ...]
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    session_attrs: str = _ACCEPTED_ATTRS[0]

    @classmethod
    def parse(cls, url: str) -> Self:
        """Take a URL apart, as libpq does; a missing port is 5432.

        Raises:
            Misconfigured: The URL has another form; the message repeats nothing of it.
        """
        found = _URL.fullmatch(url)
        if found is None:
            _refuse_form(url)
        password = found["password"]
        user, database = _decoded(found["user"]), _decoded(found["database"])
        if not user:
            _refuse("it names no user")
        if not database:
            _refuse("it names no database")
        return cls(
            tuple(Host.parse(host) for host in found["hosts"].split(",")),
            database,
            user,
            None if password is None else _decoded(password),
            _session_attrs(found["parameters"] or ""),
        )

    def at(self, host: Host) -> Self:
        """The same database on this server alone."""
        return evolve(self, hosts=(host,))

    def with_password(self, password: str | None) -> Self:
        """The same database with this password, unless the URL has one."""
        return self if self.password is not None else evolve(self, password=password)

    @property
    def label(self) -> str:
        """User, hosts and database as people are told of them, without the password."""
        return f"{self.user}@{self._hosts}/{self.database}"

    def jdbc(self, parameters: Mapping[str, str]) -> str:
        """The same database as Java names it, without user and password."""
        kind = "any" if self.session_attrs == "any" else "primary"
        label = f"jdbc:postgresql://{self._hosts}/{quote(self.database, safe='')}"
        given = {"targetServerType": kind, **parameters}
        return f"{label}?{urlencode(given, quote_via=quote)}"

    @property
    def _hosts(self) -> str:
        return ",".join(map(str, self.hosts))


def _refuse(reason: str, code: str = "database-url") -> NoReturn:
    raise Misconfigured(f"the database's URL is not of the form {FORM}: {reason}", code=code)


def _refuse_form(url: str) -> NoReturn:
    if not _SCHEME.match(url):
        _refuse("it does not begin with postgresql://")
    login, at, label = url.partition("://")[2].rpartition("@")
    if at and re.search(r"[/?#@\s]", login):
        _refuse("the user or the password holds one of / ? # @ or white space", _NOT_PLAIN)
    if not at:
        _refuse("it names no user")
    if "/" not in label:
        _refuse("it names no database")
    _refuse("the database or a parameter holds one of / ? # or white space: percent-encode it")


def _decoded(text: str) -> str:
    """Percent-encoded UTF-8 as text."""
    if _NOT_ENCODED.search(text):
        _refuse("a % is not followed by two hexadecimal digits", _NOT_PLAIN)
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        _refuse("it is not UTF-8")
    if "\0" in decoded:
        _refuse("%00 stands in it, which PostgreSQL cannot take")
    return decoded


def _host_name(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    name = _decoded(text)
    if name.startswith("/"):
        _refuse("Unix sockets are not supported: name a host, such as localhost")
    try:
        name.encode("idna")  # as a resolver will
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[\w.-]+", name):
        _refuse("a host is empty, or is no name that can be looked up")
    return name


def _ipv6(text: str) -> str:
    """An address with its zone, before which RFC 6874 and libpq write ``%25``."""
    address, percent, zone = text.partition("%")
    if len(zone) > 2:
        zone = zone.removeprefix("25")
    try:
        IPv6Address(address)
    except ValueError:
        _refuse("what stands in brackets is no IPv6 address")
    if percent and not re.fullmatch(r"[\w.-]+", zone):
        _refuse("the zone of an IPv6 address is no name of an interface")
    return f"{address}{percent}{zone}"


def _session_attrs(parameters: str) -> str:
    accepted = _ACCEPTED_ATTRS[0]
    for parameter in filter(None, parameters.split("&")):
        name, value = (_decoded(part) for part in parameter.partition("=")[::2])
        if name in _IN_SETTINGS:
            _refuse(f"it takes no {name}", f"database-url-{name}")
        if name in _ELSEWHERE:
            _refuse(f"it takes no {name}: {_ELSEWHERE[name]}")
        if name != _ATTRS:
            _refuse(f"the only parameter that it takes is {_ATTRS}")
        if value in _READ_ONLY_ATTRS:
            _refuse(f"{_ATTRS}={value} finds servers that cannot be written to: use primary")
        if value not in _ACCEPTED_ATTRS:
            _refuse(f"{_ATTRS} is one of {', '.join(_ACCEPTED_ATTRS)}")
        accepted = value
    return accepted
