"""The HTTP server of metrics and probes."""

import json
import logging
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from socket import create_server

import pytest

from voltpay_cli.addresses import DEFAULT, Address
from voltpay_cli.http_server import Response, listening, probe
from voltpay_core.errors import Misconfigured

FREE = Address("127.0.0.1", 0)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (DEFAULT, "127.0.0.1", 9464),
        ("0.0.0.0:80", "0.0.0.0", 80),
        ("example.org", "example.org", 9464),
        (":8080", "127.0.0.1", 8080),
        ("8080", "127.0.0.1", 8080),
        ("[::1]:1", "::1", 1),
        ("[::]", "::", 9464),
    ],
)
def test_an_address_is_read(text: str, host: str, port: int) -> None:
    """Without a host it is the loopback, without a port it is 9464."""
    assert Address.parse(text) == Address(host, port)
    assert Address.parse(str(Address(host, port))) == Address(host, port)


@pytest.mark.parametrize(
    "text", ["", ":", "host:", "host:port", "host:65536", "::1", "http://host", "user@host", "a b"]
)
def test_what_is_no_address_is_rejected(text: str) -> None:
    """Anything else is a setting that cannot work."""
    with pytest.raises(Misconfigured, match="needs HOST:PORT"):
        Address.parse(text)


def test_processes_listen_side_by_side() -> None:
    """Each process has the next port; port 0 stays 0, and no port is above the last one."""
    first = Address("::1", 65533)
    assert first.counted_up(3) == [Address("::1", port) for port in (65533, 65534, 65535)]
    assert FREE.counted_up(2) == [FREE, FREE]
    with pytest.raises(Misconfigured, match="4 processes cannot listen at ports from 65533 on"):
        first.counted_up(4)


def get(address: Address, path: str) -> tuple[int, str | None, bytes]:
    with closing(HTTPConnection(address.host, address.port, timeout=10)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.getheader("Content-Type"), answer.read()


def test_each_path_has_its_answer() -> None:
    """A path is answered by its route, whatever its query; another path is not found."""
    answers = iter([b"first", b"second"])
    routes = {"/metrics": lambda: Response(next(answers), "text/x")}
    with listening(FREE, routes) as address:
        assert get(address, "/metrics") == (200, "text/x", b"first")
        assert get(address, "/metrics?a=b") == (200, "text/x", b"second")
        status, _, body = get(address, "/metrics/else")
    assert (status, body) == (404, b"not found; there are /metrics\n")


def test_a_probe_tells_its_reason() -> None:
    """A probe is 200, or 503 with the reason in JSON."""
    well, ill = probe(None), probe('no "database"')
    assert (well.status, json.loads(well.body)) == (200, {"status": "ok"})
    assert ill.status == 503
    assert json.loads(ill.body) == {"status": "unavailable", "reason": 'no "database"'}


def test_an_address_in_use_is_a_setting_that_cannot_work() -> None:
    """Two servers cannot listen at the same place, and the message names it."""
    with (
        listening(FREE, {}) as address,
        pytest.raises(Misconfigured, match=str(address)),
        listening(address, {}),
    ):
        pass


def test_nobody_listens_after_the_block() -> None:
    """The port is free again at the end."""
    with listening(FREE, {}) as address:
        pass
    with create_server((address.host, address.port)):
        pass


@pytest.fixture
def errors() -> Iterator[list[str]]:
    """The lines of the log."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("voltpay")
    log.addHandler(handler)
    yield found
    log.removeHandler(handler)


def test_a_bug_in_a_route_is_logged_without_its_words(errors: list[str]) -> None:
    """The server goes on; the log says where the bug is, and nothing of the data."""

    def fail() -> Response:
        raise ValueError("hu" + "sh")

    with listening(FREE, {"/bug": fail, "/ok": lambda: probe(None)}) as address:
        with pytest.raises(ConnectionError):
            get(address, "/bug")
        assert get(address, "/ok")[0] == 200
    assert "ValueError" in errors[0]
    assert "hush" not in errors[0]
