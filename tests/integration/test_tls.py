"""PostgreSQL by TLS: trusted servers, rejected servers, and their errors."""

import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.harness import canary
from tests.harness.cli import voltpay
from tests.harness.stack.available import available
from tests.harness.stack.places import jars
from tests.harness.stack.postgres import PostgresServer
from tests.harness.stack.processes import free_ports
from trustme import CA

from voltpay_adapters.testing.samples import Mix, samples
from voltpay_core.codec import Codec

DATABASE = "payments"
MIGRATOR_PASSWORD = "the migrator's canary: a/b@c"
WRITER_PASSWORD = "the writer's canary: ü%20"
WRITERS = (
    "VOLTPAY_STORE",
    "VOLTPAY_DATABASE_SSLMODE",
    "VOLTPAY_DATABASE_SSLROOTCERT",
    "VOLTPAY_DATABASE_PASSWORD",
)
COMMANDS = ("db bootstrap", "db maintain", "db status", "check", "consume --timeout 60")
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
_SETTINGS = {
    "ssl": "on",
    "ssl_cert_file": "../server.crt",
    "ssl_key_file": "../server.key",
    "hba_file": "pg_hba.conf",  # seen from the folder in which the server starts
    "log_statement": "all",
    "log_min_duration_statement": "0",
}
_HBA = "local all all trust\nhostssl all all all scram-sha-256\n"


@pytest.fixture(scope="module")
def authority() -> CA:
    return CA()


@pytest.fixture(scope="module")
def server(authority: CA) -> Iterator[PostgresServer]:
    """A server whose certificate is localhost's, and that lets nobody in without TLS."""
    server = available(lambda: PostgresServer(durable=False, settings=_SETTINGS))
    issued = authority.issue_cert("localhost")
    for name, pem in (("crt", issued.cert_chain_pems[0]), ("key", issued.private_key_pem)):
        place = server.folder / f"server.{name}"
        pem.write_to_path(place)
        place.chmod(0o600)
        server._own(place)
    (server.folder / "pg_hba.conf").write_text(_HBA)
    server._own(server.folder / "pg_hba.conf")
    with server:
        server.create_database(DATABASE)
        yield server


@pytest.fixture(scope="module")
def settings(
    server: PostgresServer, authority: CA, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, str]:
    """The environment by which everything is trusted, and the schema that was made so."""
    trusted = tmp_path_factory.mktemp("tls") / "ca.crt"
    authority.cert_pem.write_to_path(trusted)
    settings = {
        "VOLTPAY_STORE": by_name(server.url("voltpay_writer", DATABASE)),
        "VOLTPAY_DATABASE_SSLMODE": "verify-full",
        "VOLTPAY_DATABASE_SSLROOTCERT": str(trusted),
        "VOLTPAY_DATABASE_PASSWORD": WRITER_PASSWORD,
    }
    operator = {
        "VOLTPAY_DATABASE_MIGRATOR": by_name(server.url("voltpay_migrator", DATABASE)),
        "VOLTPAY_DATABASE_MIGRATOR_PASSWORD": MIGRATOR_PASSWORD,
        "VOLTPAY_DATABASE_SUPERUSER": by_name(server.superuser_url(DATABASE)),
        "VOLTPAY_DATABASE_LIQUIBASE_CLASSPATH": str(jars("liquibase")),
    }
    for command in ("bootstrap", "update", "maintain"):
        result = voltpay("db", command, env=settings | operator)
        assert result.exit_code == 0, result.output
    return settings | operator


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in os.environ:
        if name.startswith("VOLTPAY_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("VOLTPAY_SOURCE", "file:in.jsonl")
    monkeypatch.setenv("VOLTPAY_EVENTS", "file:out")
    records = samples(Codec(), 60, 1, Mix(poison=0.2))
    lines = [record.value for record in records if record.value and b"\n" not in record.value]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    return tmp_path


def by_name(url: str) -> str:
    return url.replace("@127.0.0.1:", "@localhost:")


def by_number(settings: Mapping[str, str]) -> dict[str, str]:
    """The same servers by an address that their certificate does not name."""
    return {name: url.replace("@localhost:", "@127.0.0.1:") for name, url in settings.items()}


def refused(
    command: str, settings: Mapping[str, str], capfd: pytest.CaptureFixture[str], code: int = 69
) -> str:
    """What a command says that must end with an exit code, Liquibase's words included."""
    capfd.readouterr()
    result = voltpay(*command.split(), env=settings)
    assert result.exit_code == code, result.output
    assert "Traceback" not in result.output
    assert "canary" not in result.output
    if "--timeout" in command or "bootstrap" in command:
        lines = result.stderr.splitlines()
        assert len([one for one in lines if " starts: " not in one and " audit: " not in one]) == 1
    return result.output + "".join(capfd.readouterr())


def test_the_writer_role_suffices_by_tls(
    server: PostgresServer, settings: Mapping[str, str]
) -> None:
    """Payments are written by a role with no right but the writer's, and no other password."""
    own = {name: settings[name] for name in WRITERS}
    assert "voltpay_writer may only write rows" in voltpay("check", env=own).stdout
    server.run_sql(
        """
        CREATE FUNCTION write.refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'no'; END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON write.payment_core
        FOR EACH ROW WHEN (NEW.type = 'BWI') EXECUTE FUNCTION write.refuse();
        """,
        database=DATABASE,
    )
    result = voltpay("consume", "--output", "json", env=own)
    assert result.exit_code == 0, result.output
    total = json.loads(result.stdout)
    assert total["written"] > 0
    letters = Path("out/payment_writer_dlq.jsonl").read_text()
    assert letters.count("P0001") > 0
    assert voltpay("idempotency", "purge", env=own).exit_code == 0
    rows = server.run_sql(
        "SELECT (SELECT count(*) FROM write.payment_core),"
        " (SELECT count(*) FROM pg_auth_members WHERE member = 'voltpay_writer'::regrole)",
        database=DATABASE,
    )
    assert rows == f"{total['written']}|0"


def test_require_encrypts_and_asks_for_no_certificate(settings: Mapping[str, str]) -> None:
    """With sslmode=require every server is trusted, also by Liquibase."""
    settings = by_number({**settings, "VOLTPAY_DATABASE_SSLMODE": "require"})
    settings.pop("VOLTPAY_DATABASE_SSLROOTCERT")
    for command in ("db status", "check"):
        result = voltpay(*command.split(), env=settings)
        assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_authority_is_rejected(
    command: str,
    settings: Mapping[str, str],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """A server with a certificate of another authority is not trusted, and not retried."""
    other = tmp_path / "other.crt"
    CA().cert_pem.write_to_path(other)
    words = refused(command, {**settings, "VOLTPAY_DATABASE_SSLROOTCERT": str(other)}, capfd)
    assert "database.sslrootcert" in words


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_host_is_rejected(
    command: str, settings: Mapping[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """A certificate of another host is not trusted, and not retried."""
    words = refused(command, by_number(settings), capfd)
    assert "not valid for '127.0.0.1'" in words


@pytest.mark.parametrize("command", ["check", "db status"])
def test_the_name_checked_is_that_of_the_host_reached(
    command: str, settings: Mapping[str, str]
) -> None:
    """Of several hosts the certificate has to name the one that is connected."""
    (dead,) = free_ports(1)
    behind_it = {
        name: value.replace("@localhost:", f"@127.0.0.1:{dead},localhost:")
        for name, value in settings.items()
    }
    result = voltpay(*command.split(), env=behind_it)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("command", COMMANDS)
def test_a_plain_connection_is_rejected(
    command: str, settings: Mapping[str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    """If a client without TLS connects to a server that requires it, the error says so."""
    words = refused(command, {**settings, "VOLTPAY_DATABASE_SSLMODE": "disable"}, capfd)
    assert "no encryption" in words


def test_certificates_that_cannot_be_read_are_a_wrong_setting(
    settings: Mapping[str, str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A file of trust that is missing, or is none, is named before anything is asked."""
    for file in (tmp_path / "nowhere.crt", tmp_path / "in.jsonl"):
        changed = {**settings, "VOLTPAY_DATABASE_SSLROOTCERT": str(file)}
        for command in COMMANDS:
            assert str(file) in refused(command, changed, capfd, code=78)


def test_a_server_without_tls_learns_nothing(settings: Mapping[str, str]) -> None:
    """A client that does not get TLS sends nothing more, and its error says so."""
    with socket.create_server(("127.0.0.1", 0)) as plain, ThreadPoolExecutor() as other:
        heard = other.submit(answer_no, plain)
        store = f"postgresql://voltpay_writer@127.0.0.1:{plain.getsockname()[1]}/{DATABASE}"
        result = voltpay(
            *("consume", "--store", store),
            env={**settings, "VOLTPAY_LIMITS_RETRY_SECONDS": "0"},
        )
    assert result.exit_code == 69
    assert "Server refuses SSL" in result.stderr
    assert heard.result() == SSL_REQUEST


def answer_no(listening: socket.socket) -> bytes:
    """Be a PostgreSQL without TLS for one client, and tell all that it said."""
    client, _ = listening.accept()
    with client:
        said = client.recv(8)
        client.sendall(b"N")
        return said + client.recv(1000)


def test_passwords_are_not_in_the_servers_log(
    server: PostgresServer, settings: Mapping[str, str]
) -> None:
    """Not even a server that logs every statement learns the passwords that bootstrap sets."""
    log = server.log.read_text()
    assert "ALTER ROLE voltpay_writer PASSWORD 'SCRAM-SHA-256$" in log
    assert "canary" not in log


def test_payments_are_kept_out_of_the_servers_log(
    server: PostgresServer, settings: Mapping[str, str], folder: Path
) -> None:
    """As bootstrap sets the writer's role, neither logged statements nor rejections show rows."""
    server.run_sql(
        "ALTER TABLE write.payment_core ADD CONSTRAINT small CHECK (account_id < 4711) NOT VALID",
        database=DATABASE,
    )
    (folder / "in.jsonl").write_bytes(Codec().encode_payment(canary.PAYMENT) + b"\n")
    before = server.log.stat().st_size
    result = voltpay("consume", env={name: settings[name] for name in WRITERS})
    assert "dead letters 1" in result.stdout
    logged = server.log.read_bytes()[before:].decode()
    assert "INSERT INTO write.payment_core" in logged
    assert 'violates check constraint "small"' in logged
    assert "canary" not in logged
    assert str(canary.PAYMENT.account_id) not in logged
