"""Reads Kafka's URL."""

from __future__ import annotations

import re
from ipaddress import IPv6Address

FORM = "kafka://host:port[,host:port]"
SCHEME = "kafka://"
_NAME = r"(?P<name>[\w.-]{1,253})"
_ADDRESS = r"\[(?P<address>[0-9a-fA-F:.]+)(?:%(?:25)?(?P<zone>[\w.~-]+))?\]"
_SERVER = re.compile(rf"(?:{_NAME}|{_ADDRESS}):(?P<port>[0-9]{{1,5}})")


def servers(url: str) -> tuple[str, ...]:
    """The servers of ``kafka://host:port[,host:port]``, each as ``host:port``.

    An IPv6 address is written in brackets and may have a zone, such as ``[fe80::1%eth0]``. The
    percent sign may be encoded as ``%25``.

    Raises:
        ValueError: The URL is malformed. The message says which server is wrong, and repeats
            nothing of the URL: it may hold a password.
    """
    if not url.startswith(SCHEME):
        raise ValueError(f"needs {FORM}")
    named = url.removeprefix(SCHEME).removesuffix("/").split(",")
    return tuple(_server(text, f"server {number}") for number, text in enumerate(named, 1))


def _server(text: str, which: str) -> str:
    found = _SERVER.fullmatch(text)
    if found is None:
        reason = "may have no user" if "@" in text else "is not host:port"
        raise ValueError(f"needs {FORM}: {which} {reason}")
    if not 1 <= int(found["port"]) <= 65535:
        raise ValueError(f"needs {FORM}: the port of {which} is not from 1 to 65535")
    try:
        return f"{_host(found)}:{found['port']}"
    except ValueError:
        raise ValueError(f"needs {FORM}: the host of {which} is not a valid name") from None


def _host(found: re.Match[str]) -> str:
    if found["name"]:
        found["name"].encode("idna")  # as a resolver does
        return found["name"]
    address = found["address"]
    IPv6Address(address)
    return f"[{address}%{found['zone']}]" if found["zone"] else f"[{address}]"
