"""Metrics and probes of a running writer: what is served, where, and what never leaves by it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from socket import AF_INET6, create_connection, create_server, socket

import pytest
from tests.harness.canary import leaks, records
from tests.harness.cli import start, voltpay
from tests.harness.deployment import eventually
from tests.harness.scraping import Scraped

from voltpay_adapters.local.files import PaymentFilePublisher
from voltpay_core.codec import Codec

pytestmark = pytest.mark.usefixtures("folder")

STORE = ("--store", "sqlite:voltpay.db", "--events", "file:out")
PATHS = ("/metrics", "/livez", "/readyz", "/else")


def payments() -> bytes:
    """Canaries as lines of a file: payments, and poison of every kind."""
    with closing(PaymentFilePublisher("canaries.jsonl")) as publisher:
        publisher.publish(records(Codec())).wait()
    return Path("canaries.jsonl").read_bytes()


class Writer:
    """A writer that reads its standard input, and listens."""

    def __init__(self, listen: str) -> None:
        flags = ("--source", "file:-", *STORE, "--listen", listen, "--output", "json")
        self.process = start("consume", *flags, cwd=Path.cwd())
        assert self.process.stderr is not None
        line = next(line for line in self.process.stderr if "metrics are at" in line)
        (self.scraped,) = Scraped.all_named_by(line)

    def send(self, lines: bytes) -> None:
        assert self.process.stdin is not None
        os.write(self.process.stdin.fileno(), lines)

    def end(self) -> tuple[dict[str, int], str]:
        """Let it read its input to the end; its summary and its other lines."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return json.loads(out), err


@pytest.fixture
def writer() -> Iterator[Writer]:
    started = Writer("0")
    yield started
    if started.process.poll() is None:
        started.process.kill()
        started.process.communicate()


def test_a_writer_is_seen_while_it_works(writer: Writer) -> None:
    """The metrics are those of the summary, the probes are well, and no canary sings in them."""
    eventually(lambda: writer.scraped.get("/readyz")[0] == 200)
    writer.send(payments())
    eventually(lambda: writer.scraped.value("records_total", outcome="written"))
    eventually(lambda: writer.scraped.value("batch_records_count"))
    answers = [writer.scraped.get(path) for path in PATHS]
    assert [status for status, _ in answers] == [200, 200, 200, 404]
    written = writer.scraped.value("records_total", outcome="written")
    letters = writer.scraped.value("records_total", outcome="dead_letter")
    summary, log = writer.end()
    assert (summary["written"], summary["dead_letters"]) == (written, letters)
    assert letters > 5
    assert not leaks(log + "".join(text for _, text in answers))
    assert "_created" not in answers[0][1]


def test_a_client_that_says_nothing_disturbs_nobody(writer: Writer) -> None:
    """A silent, a talkative and a vanished client leave the writer and other clients alone."""
    place = (writer.scraped.host, writer.scraped.port)
    with create_connection(place), create_connection(place) as noisy:
        noisy.sendall(b"\0" * 100_000)
        with create_connection(place) as gone:
            gone.sendall(b"GET /metrics HTTP/1.1\r\n\r\n")
        writer.send(payments())
        eventually(lambda: writer.scraped.value("records_total", outcome="written"))
        summary, log = writer.end()
    assert summary["written"] > 0
    assert "bug" not in log


def test_a_port_in_use_is_told_at_once() -> None:
    """A writer that cannot listen ends before it reads anything, and names the address."""
    Path("in.jsonl").write_bytes(payments())
    with create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flags = ("--source", "file:in.jsonl", *STORE, "--listen", str(port))
        ended = voltpay("consume", *flags)
    assert ended.exit_code == os.EX_CONFIG
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert not Path("voltpay.db").exists()


def test_without_listen_nothing_listens_and_nothing_is_loaded() -> None:
    """The default costs nothing: neither the metrics' library nor the HTTP server is imported."""
    Path("in.jsonl").write_bytes(payments())
    command = ["voltpay", "consume", "--source", "file:in.jsonl", *STORE]
    script = f"""
import sys
from voltpay_cli.app import main
sys.argv = {command!r}
try:
    main()
except SystemExit as end:
    assert not end.code
assert not {{"prometheus_client", "http.server"}} & sys.modules.keys()
"""
    ended = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr


def has_ipv6() -> bool:
    with suppress(OSError), socket(AF_INET6) as probe:
        probe.bind(("::1", 0))
        return True
    return False


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_is_listened_to() -> None:
    """`[::1]:0` listens there, and the log names it in brackets."""
    writer = Writer("[::1]:0")
    assert writer.scraped.host == "::1"
    assert writer.scraped.get("/livez")[0] == 200
    writer.end()
