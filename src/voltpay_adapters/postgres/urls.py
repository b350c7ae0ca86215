"""Reads the URL of a PostgreSQL database, with its user and password."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from ipaddress import IPv6Address
from typing import NoReturn, Self
from urllib.parse import quote, unquote, urlencode

from attrs import evolve, field, frozen

from voltpay_core.errors import Misconfigured

FORM = "postgresql://user[:password]@host[:port][,host[:port]]/database"
PORT = 5432
CONNECT_SECONDS = 10
"""How long one address of a host may take to accept a session."""

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
"""Parameters of libpq that are settings of their own."""

_ATTRS = "target_session_attrs"
_ACCEPTED_ATTRS = ("primary", "read-write", "any")
_READ_ONLY_ATTRS = ("standby", "read-only", "prefer-standby")
_ELSEWHERE = {
    "connect_timeout": f"it is always {CONNECT_SECONDS} seconds an address",
    "application_name": "it is always that of the command, with node id and host",
    "options": "set session defaults with ALTER ROLE",
    "service": "write host and database into the URL",
    **dict.fromkeys(
        ("host", "hostaddr", "port", "user", "dbname"), "write it before the question mark"
    ),
}
"""Parameters of libpq that this URL does not accept, with the alternative."""


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
            Misconfigured: It has none of these forms.
        """
        found = _HOST.fullmatch(text)
        if found is None:
            _reject("an IPv6 address is written in brackets, such as [::1]:5432")
        port = found["port"] or str(PORT)
        if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
            _reject("a port is a number from 1 to 65535")
        return cls(_host_name(found["name"]), int(port))

    def __str__(self) -> str:
        name = f"[{self.name}]" if ":" in self.name else self.name
        return f"{name}:{self.port}"


@frozen
class DatabaseUrl:
    """A parsed ``postgresql://user[:password]@host[:port]/database``; its repr hides the password.

    Attributes:
        hosts: Servers that hold the database; the first that `session_attrs` accepts is used.
        session_attrs: libpq's ``target_session_attrs``: ``primary`` (no standby), ``read-write``
            (no standby, and sessions are not read-only by default) or ``any``.
        application: The beginning of the ``application_name`` of sessions, such as
            ``voltpay:consume``; see `session_name`.
    """

    hosts: tuple[Host, ...]
    database: str
    user: str
    password: str | None = field(default=None, repr=False)
    session_attrs: str = _ACCEPTED_ATTRS[0]
    application: str = "voltpay"

    @classmethod
    def parse(cls, url: str) -> Self:
        """Parse a URL like libpq; a missing port is 5432.

        Raises:
            Misconfigured: The URL is malformed; the message repeats nothing of it.
        """
        found = _URL.fullmatch(url)
        if found is None:
            _reject_form(url)
        password = found["password"]
        user, database = _decoded(found["user"]), _decoded(found["database"])
        if not user:
            _reject("it names no user")
        if not database:
            _reject("it names no database")
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

    def named(self, application: str) -> Self:
        """The same database, with sessions of this name."""
        return evolve(self, application=application)

    def session_name(self, node_id: int | None = None) -> str:
        """The ``application_name`` of a session: application, node id and host.

        It has at most 63 bytes, which are letters, digits and ``. _ : -``.
        """
        numbers = [] if node_id is None else [f"{node_id:03d}"]
        name = ":".join([self.application, *numbers, socket.gethostname()])
        return re.sub(r"[^A-Za-z0-9._:-]", "-", name)[:63]

    def with_password(self, password: str | None) -> Self:
        """The same database with this password, unless the URL has one."""
        return self if self.password is not None else evolve(self, password=password)

    @property
    def label(self) -> str:
        """User, hosts and database for messages, without the password."""
        return f"{self.user}@{self._hosts}/{self.database}"

    def jdbc(self, parameters: Mapping[str, str]) -> str:
        """The JDBC URL of the database, without user and password."""
        kind = "any" if self.session_attrs == "any" else "primary"
        label = f"jdbc:postgresql://{self._hosts}/{quote(self.database, safe='')}"
        name = {"ApplicationName": self.session_name()}
        given = {"targetServerType": kind, **name, **parameters}
        return f"{label}?{urlencode(given, quote_via=quote)}"

    @property
    def _hosts(self) -> str:
        return ",".join(map(str, self.hosts))


def _reject(reason: str, code: str = "database-url") -> NoReturn:
    raise Misconfigured(f"the database's URL is not of the form {FORM}: {reason}", code=code)


def _reject_form(url: str) -> NoReturn:
    if not _SCHEME.match(url):
        _reject("it does not begin with postgresql://")
    login, at, label = url.partition("://")[2].rpartition("@")
    if at and re.search(r"[/?#@\s]", login):
        _reject("the user or the password contains / ? # @ or white space", _NOT_PLAIN)
    if not at:
        _reject("it names no user")
    if "/" not in label:
        _reject("it names no database")
    _reject("the database or a parameter contains / ? # or white space: percent-encode it")


def _decoded(text: str) -> str:
    """Percent-encoded UTF-8 as text."""
    if _NOT_ENCODED.search(text):
        _reject("a % is not followed by two hexadecimal digits", _NOT_PLAIN)
    try:
        decoded = unquote(text, errors="strict")
        decoded.encode()
    except UnicodeError:
        _reject("it is not UTF-8")
    if "\0" in decoded:
        _reject("it contains %00, which PostgreSQL does not accept")
    return decoded


def _host_name(text: str) -> str:
    if text.startswith("["):
        return _ipv6(text[1:-1])
    name = _decoded(text)
    if name.startswith("/"):
        _reject("Unix sockets are not supported: name a host, such as localhost")
    try:
        name.encode("idna")  # as a resolver does
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[\w.-]+", name):
        _reject("a host is empty or not a valid name")
    return name


def _ipv6(text: str) -> str:
    """An address with its zone; RFC 6874 and libpq write ``%25`` before a zone."""
    address, percent, zone = text.partition("%")
    if len(zone) > 2:
        zone = zone.removeprefix("25")
    try:
        IPv6Address(address)
    except ValueError:
        _reject("the text in brackets is not an IPv6 address")
    if percent and not re.fullmatch(r"[\w.-]+", zone):
        _reject("the zone of an IPv6 address is not the name of an interface")
    return f"{address}{percent}{zone}"


def _session_attrs(parameters: str) -> str:
    accepted = _ACCEPTED_ATTRS[0]
    for parameter in filter(None, parameters.split("&")):
        name, value = (_decoded(part) for part in parameter.partition("=")[::2])
        if name in _IN_SETTINGS:
            _reject(f"it does not accept {name}", f"database-url-{name}")
        if name in _ELSEWHERE:
            _reject(f"it does not accept {name}: {_ELSEWHERE[name]}")
        if name != _ATTRS:
            _reject(f"the only accepted parameter is {_ATTRS}")
        if value in _READ_ONLY_ATTRS:
            _reject(f"{_ATTRS}={value} finds servers that cannot be written to: use primary")
        if value not in _ACCEPTED_ATTRS:
            _reject(f"{_ATTRS} is one of {', '.join(_ACCEPTED_ATTRS)}")
        accepted = value
    return accepted
