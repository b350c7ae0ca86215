"""The origins of settings, and the errors for wrong ones."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from attrs import asdict
from hypothesis import given
from hypothesis import strategies as st
from tests.harness.cli import voltpay
from typed_settings.dict_utils import get_path

from voltpay_cli.settings import OPTIONS, Settings
from voltpay_cli.settings.loading import load
from voltpay_core.errors import Misconfigured
from voltpay_core.payments import Status

pytestmark = pytest.mark.usefixtures("folder")

NAMED = {option.path: option for option in OPTIONS}
SECRETS = [path for path, option in NAMED.items() if option.is_secret]


def variable(path: str) -> str:
    return "VOLTPAY_" + path.replace(".", "_").upper()


def toml(path: str, value: object) -> str:
    return f"{path} = {json.dumps(value)}\n"


numbers = st.none() | st.integers(1, 99)


@given(flag=numbers, environment=numbers, file=numbers)
@pytest.mark.parametrize("path", ["batch_size", "topics.partitions", "limits.breaker"])
def test_flags_come_before_environment_before_file_before_default(
    path: str, flag: int | None, environment: int | None, file: int | None, folder: Path
) -> None:
    """The first of flag, environment, file and default that has a value decides."""
    (folder / "voltpay.toml").write_text("" if file is None else toml(path, file))
    with pytest.MonkeyPatch.context() as patch:
        if environment is not None:
            patch.setenv(variable(path), str(environment))
        loaded = load({path: flag})
    told = [given for given in (flag, environment, file) if given is not None]
    row = loaded.shown()[path]
    assert row["value"] == (told[0] if told else NAMED[path].default)
    assert (row["origin"] == "default") == (not told)


def test_nothing_set_is_the_defaults() -> None:
    """Without flags, variables and file all settings are the defaults."""
    loaded = load({})
    assert loaded.settings == Settings()
    assert loaded.origins == {}
    assert loaded.warnings == ()


@pytest.mark.parametrize("path", NAMED)
def test_every_default_is_acceptable(path: str) -> None:
    """What a default is can also be said, and converting it twice changes nothing."""
    default = get_path(asdict(Settings()), path)
    option = NAMED[path]
    assert option.converter is not None
    assert option.converter(default) == default


def test_the_file_is_the_one_that_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config comes before VOLTPAY_CONFIG, and that before voltpay.toml."""
    for name in ("voltpay.toml", "variable.toml", "flag.toml"):
        (folder / name).write_text(f'group = "{name}"')
    assert load({}).settings.group == "voltpay.toml"
    monkeypatch.setenv("VOLTPAY_CONFIG", "variable.toml")
    assert load({}).settings.group == "variable.toml"
    assert load({}, "flag.toml").settings.group == "flag.toml"


def test_a_file_that_is_named_must_be_there() -> None:
    """A settings file that was asked for and is not there is an error."""
    with pytest.raises(Misconfigured, match=r"cannot read nowhere\.toml"):
        load({}, "nowhere.toml")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_settings_file_may_be_of_windows(folder: Path, newline: str) -> None:
    """A byte order mark and other line ends change no setting."""
    (folder / "voltpay.toml").write_bytes(f'\ufeffgroup = "g"{newline}batch_size = 7'.encode())
    assert (load({}).settings.group, load({}).settings.batch_size) == ("g", 7)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_a_settings_file_is_in_utf_8(folder: Path, encoding: str) -> None:
    """A file in another encoding is named with the way out."""
    (folder / "voltpay.toml").write_bytes('group = "\xe9"'.encode(encoding))
    with pytest.raises(Misconfigured, match=r"cannot read voltpay\.toml: save it as text in UTF-8"):
        load({})


@pytest.mark.parametrize("content", ["a = [" * 5000, "group", 'group = "a\x01"'])
def test_a_settings_file_is_toml(folder: Path, content: str) -> None:
    """An invalid TOML file is reported, however deeply it is nested."""
    (folder / "voltpay.toml").write_text(content)
    with pytest.raises(Misconfigured, match=r"cannot read voltpay\.toml: "):
        load({})


@pytest.mark.parametrize(
    ("content", "key", "nearest"),
    [
        ('[topics]\nwritter = "x"', "topics.writter", "topics.writer"),
        ("batchsize = 1", "batchsize", "batch_size"),
        ("[limit]\nbreaker = 1", "limit.breaker", "limits.breaker"),
        ('[wire.event_header]\na = "b"', "wire.event_header.a", "wire.event_headers"),
    ],
)
def test_an_unknown_key_is_named_with_the_nearest(
    folder: Path, content: str, key: str, nearest: str
) -> None:
    """An unknown key stops the program, and the error names the most similar setting."""
    (folder / "voltpay.toml").write_text(content)
    with pytest.raises(Misconfigured, match=rf"{key}: did you mean {nearest}\?"):
        load({})


def test_an_unknown_variable_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that is no setting is a warning: others may set VOLTPAY_ variables, too."""
    monkeypatch.setenv("VOLTPAY_TOPIC_WRITER", "x")
    (warning,) = load({}).warnings
    assert warning == "VOLTPAY_TOPIC_WRITER is no setting: did you mean VOLTPAY_TOPICS_WRITER?"


@pytest.mark.parametrize(
    ("path", "bad", "right"),
    [
        ("source", "payments.jsonl", "needs kafka://host:port"),
        ("source", "kafka://host", "needs kafka://host:port"),
        ("source", "kafka://user:secret@host:1", "needs kafka://host:port"),
        ("store", "mysql://u@h:1/d", "needs postgresql://user"),
        ("store", "sqlite:", "needs postgresql://user"),
        ("events", "out", "or file:DIRECTORY"),
        ("node_id", "1000", "whole number from 0 to 999, or auto"),
        ("batch_size", "0", "whole number from 1"),
        ("batch_size", "many", "whole number from 1"),
        ("commit_unit", "0", "or account or batch"),
        ("topics.writer", "two words", "letters, digits, dots"),
        ("wire.account_field", "account", "one of accountId, custId"),
        ("wire.event_headers", "TypeId", "name=value"),
        ("email.statuses", "SENT", "SUCCESS, PENDING or FAIL"),
        ("kafka.protocol", "TLS", "one of PLAINTEXT, SSL"),
    ],
)
def test_a_bad_value_is_reported_with_its_origin_and_the_way_out(
    path: str, bad: str, right: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong value ends with exit 78 and one line: its origin, and the accepted values."""
    (folder / "voltpay.toml").write_text(toml(path, bad))
    result = voltpay("config", "show")
    assert result.exit_code == 78
    assert result.stderr.startswith(f"voltpay: {path} in voltpay.toml: needs ")
    (folder / "voltpay.toml").unlink()
    monkeypatch.setenv(variable(path), bad)
    result = voltpay("config", "show")
    assert result.exit_code == 78
    assert result.stderr.startswith(f"voltpay: {variable(path)}: needs ")
    assert right in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("path", SECRETS)
def test_secrets_are_never_shown(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret is printed, whichever form is asked for, nor by the settings' own repr."""
    monkeypatch.setenv(variable(path), "hunter2")
    assert get_path(asdict(load({}).settings), path) == "hunter2"
    assert "hunter2" not in repr(load({}))
    for form in ("text", "json"):
        result = voltpay("config", "show", "--output", form)
        assert result.exit_code == 0
        assert "***" in result.output
        assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("store", "postgresql://u:hunter2@h:1/d"),
        ("database.migrator", "postgresql://u:hunter2@h:1/d"),
        ("kafka.options", "sasl_plain_password=hunter2"),
        ("kafka.options", "ssl_password=hunter2,client_id=me"),
    ],
)
def test_passwords_inside_other_settings_are_masked(
    path: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A password in a URL or among the Kafka client's options is not printed either."""
    monkeypatch.setenv(variable(path), value)
    result = voltpay("config", "show")
    assert "***" in result.output
    assert "hunter2" not in result.output


def test_secrets_are_rejected_on_the_command_line() -> None:
    """A password in a flag ends with exit 78, and is not repeated."""
    for flags in (("--store", "postgresql://u:hunter2@h:1/d"), ("-X", "ssl_password=hunter2")):
        result = voltpay("config", "show", *flags)
        assert result.exit_code == 78
        assert "command line" in result.stderr
        assert "hunter2" not in result.output


def test_tables_add_up(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of the Kafka client come together from all origins, the first origin first."""
    (folder / "voltpay.toml").write_text("[kafka.options]\na = 1\nb = true\nc = 'file'\n")
    monkeypatch.setenv("VOLTPAY_KAFKA_OPTIONS", "c=variable,d=variable")
    loaded = load({"kafka.options": ["d=flag, with comma", "e=f=g"]})
    assert loaded.settings.kafka.options == {
        "a": "1",
        "b": "true",
        "c": "variable",
        "d": "flag, with comma",
        "e": "f=g",
    }


@pytest.mark.parametrize("content", ['["SUCCESS", "FAIL"]', '"SUCCESS,FAIL"', "[2, -2]", '"2, -2"'])
def test_statuses_have_names_and_numbers(folder: Path, content: str) -> None:
    """Statuses are named or numbered, in a list or in a text."""
    (folder / "voltpay.toml").write_text(f"email.statuses = {content}")
    assert load({}).settings.email.statuses == {Status.SUCCESS, Status.FAIL}


@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_file_content_is_a_crash(folder: Path, content: bytes) -> None:
    """Whatever a settings file holds, it is settings or one clear error."""
    (folder / "voltpay.toml").write_bytes(content)
    with suppress(Misconfigured):
        load({})
