"""The URL of a PostgreSQL database: every form of libpq, and the errors for others."""

import re
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.cli import voltpay

from voltpay_adapters.postgres.urls import DatabaseUrl, Host
from voltpay_adapters.urls import database_url, store_url
from voltpay_cli.remedies import with_remedy
from voltpay_cli.settings.masking import without_password
from voltpay_core.errors import Misconfigured

SECRET = "hunter2"
LOCAL = (Host("h"),)

ACCEPTED = {
    "postgresql://u@h/d": DatabaseUrl(LOCAL, "d", "u"),
    "postgres://u@h/d": DatabaseUrl(LOCAL, "d", "u"),
    "POSTGRESQL://u@h/d": DatabaseUrl(LOCAL, "d", "u"),
    "postgresql://u:@h/d": DatabaseUrl(LOCAL, "d", "u", ""),
    "postgresql://u:p:w@h/d": DatabaseUrl(LOCAL, "d", "u", "p:w"),
    "postgresql://u:p%40%2F%3F%23%25w@h/d": DatabaseUrl(LOCAL, "d", "u", "p@/?#%w"),
    "postgresql://u:é密+@h/d": DatabaseUrl(LOCAL, "d", "u", "é密+"),
    "postgresql://u%20v@h/d%2Fe": DatabaseUrl(LOCAL, "d/e", "u v"),
    "postgresql://u@h:/d": DatabaseUrl(LOCAL, "d", "u"),
    "postgresql://u@h:1/d": DatabaseUrl((Host("h", 1),), "d", "u"),
    "postgresql://u@h:65535/d?": DatabaseUrl((Host("h", 65535),), "d", "u"),
    "postgresql://u@l%6Fcalhost/d": DatabaseUrl((Host("localhost"),), "d", "u"),
    "postgresql://u@bücher.example./d": DatabaseUrl((Host("bücher.example."),), "d", "u"),
    "postgresql://u@db_1,10.0.0.2:5433,[::1]:5434/d": DatabaseUrl(
        (Host("db_1"), Host("10.0.0.2", 5433), Host("::1", 5434)), "d", "u"
    ),
    "postgresql://u@[fe80::1%25eth0]/d": DatabaseUrl((Host("fe80::1%eth0"),), "d", "u"),
    "postgresql://u@[fe80::1%eth0]/d": DatabaseUrl((Host("fe80::1%eth0"),), "d", "u"),
    "postgresql://u@[fe80::1%2]/d": DatabaseUrl((Host("fe80::1%2"),), "d", "u"),
    "postgresql://u@[::ffff:10.0.0.1]/d": DatabaseUrl((Host("::ffff:10.0.0.1"),), "d", "u"),
    "postgresql://u@h/d?target_session_attrs=any": DatabaseUrl(LOCAL, "d", "u", None, "any"),
    "postgresql://u@h/d?target_session_attrs=read%2Dwrite": DatabaseUrl(
        LOCAL, "d", "u", None, "read-write"
    ),
    "postgresql://u@h/d?&target_session_attrs=any&target_session_attrs=primary": DatabaseUrl(
        LOCAL, "d", "u"
    ),
}

ENCODE = "percent-encode it, or put the password into database.password_file"
REFUSED = {
    "": "does not begin with postgresql://",
    "mysql://u:hunter2@h/d": "does not begin with postgresql://",
    "postgresql:u:hunter2@h/d": "does not begin with postgresql://",
    " postgresql://u:hunter2@h/d": "does not begin with postgresql://",
    "postgresql://u:hunter2?@h/d": ENCODE,
    "postgresql://u:hunter2#@h/d": ENCODE,
    "postgresql://u:hunter2/@h/d": ENCODE,
    "postgresql://u:hunter2@w@h/d": ENCODE,
    "postgresql://u:hunter2 @h/d": ENCODE,
    "postgresql://u:hunter2%@h/d": ENCODE,
    "postgresql://u:hunter2%zz@h/d": ENCODE,
    "postgresql://u:hunter2%ff@h/d": "not UTF-8",
    "postgresql://u:hunter2\udcff@h/d": "not UTF-8",
    "postgresql://u:hunter2%00@h/d": "%00",
    "postgresql://h/d": "names no user",
    "postgresql://h:hunter2/d": "names no user",
    "postgresql://:hunter2@h/d": "names no user",
    "postgresql://@h/d": "names no user",
    "postgresql://u:hunter2@h": "names no database",
    "postgresql://u:hunter2@h/": "names no database",
    "postgresql://u:hunter2@h/d/e": "the database or a parameter contains",
    "postgresql://u:hunter2@h/d#e": "the database or a parameter contains",
    "postgresql://u:hunter2@h/d e": "the database or a parameter contains",
    "postgresql://u:hunter2@h/d\n": "the database or a parameter contains",
    "postgresql://u:hunter2@/d": "a host is empty",
    "postgresql://u:hunter2@h,/d": "a host is empty",
    "postgresql://u:hunter2@:5432/d": "a host is empty",
    "postgresql://u:hunter2@a..b/d": "a host is empty or not a valid name",
    "postgresql://u:hunter2@h$/d": "a host is empty or not a valid name",
    "postgresql://u:hunter2@%2Fvar%2Frun/d": "Unix sockets are not supported",
    "postgresql://u:hunter2@h:0/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@h:65536/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@h:99999/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@h:port/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@h:-1/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@h:٣/d": "a port is a number from 1 to 65535",
    f"postgresql://u:hunter2@h:{'1' * 5000}/d": "a port is a number from 1 to 65535",
    "postgresql://u:hunter2@::1/d": "written in brackets",
    "postgresql://u:hunter2@[::1/d": "written in brackets",
    "postgresql://u:hunter2@[::1]5432/d": "written in brackets",
    "postgresql://u:hunter2@[::g]/d": "not an IPv6 address",
    "postgresql://u:hunter2@[10.0.0.1]/d": "not an IPv6 address",
    "postgresql://u:hunter2@[fe80::1%]/d": "zone of an IPv6 address",
    "postgresql://u:hunter2@[fe80::1%a%b]/d": "zone of an IPv6 address",
    "postgresql://u:hunter2@h/d?sslmode=require": "not accept sslmode; set database.sslmode",
    "postgresql://u@h/d?sslrootcert=x": "not accept sslrootcert; set database.sslrootcert",
    "postgresql://u@h/d?password=hunter2": "not accept password; set database.password",
    "postgresql://u@h/d?pass%77ord=hunter2": "not accept password; set database.password",
    "postgresql://u:hunter2@h/d?passfile=x": "set database.password_file",
    "postgresql://u:hunter2@h/d?connect_timeout=2": "always 10 seconds an address",
    "postgresql://u:hunter2@h/d?application_name=x": "always that of the command",
    "postgresql://u:hunter2@h/d?options=-cx=1": "ALTER ROLE",
    "postgresql://u:hunter2@h/d?service=x": "write host and database into the URL",
    "postgresql://u:hunter2@/d?host=/run": "a host is empty",
    "postgresql://u:hunter2@h/d?host=/run": "not accept host: write it before the question mark",
    "postgresql://u:hunter2@h/d?gssencmode=disable": "only accepted parameter is target_",
    "postgresql://u:hunter2@h/d?hunter2": "only accepted parameter is target_",
    "postgresql://u:hunter2@h/d?target_session_attrs=standby": "cannot be written to: use primary",
    "postgresql://u:hunter2@h/d?target_session_attrs=read-only": "cannot be written to",
    "postgresql://u:hunter2@h/d?target_session_attrs=prefer-standby": "cannot be written to",
    "postgresql://u:hunter2@h/d?target_session_attrs=": "one of primary, read-write, any",
    "postgresql://u:hunter2@h/d?target_session_attrs=hunter2": "one of primary, read-write, any",
}


@pytest.mark.parametrize("url", ACCEPTED)
def test_every_legal_form_is_read(url: str) -> None:
    """A complete URL has the same meaning as in libpq."""
    assert DatabaseUrl.parse(url) == ACCEPTED[url]
    assert store_url(url) == database_url(url) == url


@pytest.mark.parametrize("url", REFUSED)
def test_every_other_form_is_rejected_with_the_way_out(url: str) -> None:
    """A wrong URL is `Misconfigured`; the message names the fault and no secret."""
    told = refusal(url)
    assert told.startswith("the database's URL is not of the form postgresql://user[:password]@")
    assert REFUSED[url] in told
    assert SECRET not in told


texts = st.text(st.characters(exclude_characters="\0", codec="utf-8"))
names = texts.filter(bool)


@given(user=names, password=st.none() | texts, database=names)
def test_what_is_percent_encoded_is_read_back(
    user: str, password: str | None, database: str
) -> None:
    """User, password and database may be any text without NUL that is percent-encoded."""
    secret = "" if password is None else f":{quote(password, safe='')}"
    url = f"postgresql://{quote(user, safe='')}{secret}@h/{quote(database, safe='')}"
    assert DatabaseUrl.parse(url) == DatabaseUrl(LOCAL, database, user, password)
    assert without_password(url) == url.replace(f"{secret}@", ":***@" if secret else "@", 1)


pieces = st.sampled_from(
    [*":@/?#%[],&= \0\udcff", "postgresql://", "u", "h", "5432", "::1", "%40", SECRET, "sslmode"]
)


@given(st.lists(pieces | st.text(max_size=3)).map("".join))
def test_any_text_is_a_database_or_a_clear_error(text: str) -> None:
    """Any text is accepted or rejected, and the error repeats nothing that may be secret."""
    assert SECRET not in refusal(text)


def refusal(url: str) -> str:
    try:
        DatabaseUrl.parse(url)
    except Misconfigured as error:
        return with_remedy(error)
    return ""


@pytest.mark.parametrize("url", [url for url in REFUSED if SECRET in url and "\udcff" not in url])
def test_no_output_holds_the_secret_of_a_url(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rejected URL ends every command with exit 78, and is not repeated."""
    monkeypatch.setenv("VOLTPAY_STORE", url)
    result = voltpay("config", "show")
    assert result.exit_code == 78
    assert "VOLTPAY_STORE: " in result.stderr
    assert SECRET not in result.output


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:hunter2@h1:1,h2:2/d?target_session_attrs=read-write",
        "postgresql://u:%40hunter2@[::1]:1,[fe80::1%25lo]/d",
        "POSTGRES://u:hunter2:hunter2@h/d",
    ],
)
def test_passwords_beside_several_hosts_are_masked(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL of any form is shown without its password, and rejected on the command line."""
    monkeypatch.setenv("VOLTPAY_STORE", url)
    shown = voltpay("config", "show").output
    assert f"u:***@{url.rpartition('@')[2]}" in shown
    assert SECRET not in shown
    refused = voltpay("config", "show", "--store", url)
    assert refused.exit_code == 78
    assert "command line" in refused.stderr
    assert SECRET not in refused.output


def test_a_password_is_masked_to_its_end() -> None:
    """A password that is not percent-encoded is masked whole, in whatever URL it stands."""
    masked = without_password(f"http://me:{SECRET}@/?#{SECRET} {SECRET}@proxy:1")
    assert masked == "http://me:***@proxy:1"


@pytest.mark.parametrize("password", ["hunter2?", "hunter2#", "hunter2/", "hunter2@", "hunter2 "])
def test_a_password_on_the_command_line_is_rejected_however_it_is_written(password: str) -> None:
    """Also a password that is not percent-encoded is recognised in a flag, and not repeated."""
    result = voltpay("config", "show", "--store", f"postgresql://u:{password}@h/d")
    assert result.exit_code == 78
    assert "command line" in result.stderr
    assert SECRET not in result.output


def test_java_gets_all_hosts() -> None:
    """Liquibase gets the same servers, and the same choice among them."""
    url = "postgresql://u:p@h1,[fe80::1%25lo]:2/d%20e%2Ff"
    hosts = "jdbc:postgresql://h1:5432,[fe80::1%lo]:2/d%20e%2Ff"
    target = DatabaseUrl.parse(url)
    name = f"ApplicationName={quote(target.session_name())}"
    assert target.jdbc({}) == f"{hosts}?targetServerType=primary&{name}"
    any_of_them = DatabaseUrl.parse(f"{url}?target_session_attrs=any").jdbc({"a": "b c"})
    assert any_of_them == f"{hosts}?targetServerType=any&{name}&a=b%20c"


def test_a_session_is_named_after_its_command_node_and_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The name of a session is short and harmless, whatever a host is called."""
    target = DatabaseUrl.parse("postgresql://u@h/d").named("voltpay:dead-letter-list")
    monkeypatch.setattr("socket.gethostname", lambda: "host-1.local")
    assert target.session_name() == "voltpay:dead-letter-list:host-1.local"
    assert target.session_name(7) == "voltpay:dead-letter-list:007:host-1.local"
    monkeypatch.setattr("socket.gethostname", lambda: "'; ü\n" * 30)
    assert re.fullmatch(r"[A-Za-z0-9._:-]{63}", target.session_name(7))
