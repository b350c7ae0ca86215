"""In JSON every line on stderr is one object with the fixed fields, whatever writes it."""

import ast
import json
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import product
from pathlib import Path
from typing import Any, get_args

import pytest
from tests.harness.canary import PASSWORD, leaks, records
from tests.harness.cli import LOCAL, ended, start, voltpay

import voltpay_cli
from voltpay_adapters.local.files import PaymentFilePublisher
from voltpay_cli.config_file import asked_format
from voltpay_cli.console.lines import Event, pass_on, use
from voltpay_cli.console.logs import log_to_stderr
from voltpay_cli.settings.loading import load
from voltpay_core.codec import Codec

pytestmark = pytest.mark.usefixtures("folder")

FIXED = ("time", "level", "event", "message", "version", "node_id", "group")
NAME = os.fsdecode(b"caf\xe9") + "€"
NO_SERVER = ("--source", "kafka://127.0.0.1:1", "--store", "postgresql://u@127.0.0.1:1/d")
COMMANDS: list[list[str]] = [
    [],
    ["nonsense"],
    ["consume", "--nonsense"],
    ["consume", "--workers", "many"],
    ["dead-letter"],
    ["db", "nonsense"],
    ["--version"],
    ["consume", "--help"],
    ["consume"],
    ["consume", *LOCAL],
    ["consume", *LOCAL, "--skip-expired", "--log-level", "debug"],
    ["consume", *LOCAL, "--source", f"file:{NAME}/in.jsonl"],
    ["consume", *LOCAL, "--listen", "256.0.0.1:1"],
    ["consume", *LOCAL, "--workers", "2"],
    ["consume", *LOCAL, "--dry-run"],
    ["consume", *LOCAL, "--config", NAME],
    ["consume", *LOCAL, "--log-level", "loud"],
    ["produce", "--source", f"file:{NAME}/in.jsonl", "--count", "3"],
    ["check", *NO_SERVER],
    ["status", *NO_SERVER],
    ["status", *LOCAL],
    ["topics", "check", "--source", "kafka://127.0.0.1:1"],
    ["dead-letter", "list", *LOCAL[4:]],
    ["dead-letter", "show", "nowhere", *LOCAL[4:]],
    ["dead-letter", "replay", *NO_SERVER[:2]],
    ["events", "rebuild", *LOCAL, "--yes"],
    ["idempotency", "purge", *LOCAL[2:4], "--force"],
    ["db", "bootstrap", *NO_SERVER[2:]],
    ["db", "update", *NO_SERVER[2:]],
    ["db", "rollback", "1", *NO_SERVER[2:]],
    ["config", "show", "-X", f"ssl.password={PASSWORD}"],
    ["config", "show"],
    ["demo"],
    ["demo", "."],
    ["demo", "--log-format", "json"],
]


def objects(text: str) -> list[dict[str, Any]]:
    """The lines of stderr, each with what every line has."""
    found = [json.loads(line) for line in text.splitlines()]
    for each in found:
        assert tuple(each)[: len(FIXED)] == FIXED
        assert each["event"] in get_args(Event)
        assert each["level"] in {"debug", "info", "warning", "error"}
        assert each["time"].endswith("Z")
    return found


def test_every_line_of_every_command_is_an_object() -> None:
    """Whatever a command does, and however it fails, its stderr has objects and no payment."""
    with closing(PaymentFilePublisher("in.jsonl")) as payments:
        payments.publish(records(Codec()))
    given = {"VOLTPAY_LOG_FORMAT": "json", "VOLTPAY_LIMITS_RETRY_SECONDS": "0", "VOLTPAY_É": "x"}
    codes, done = ended("", *COMMANDS, **given)
    assert len(codes) == len(COMMANDS)
    text = done.stderr.decode("ascii")
    assert {each["event"] for each in objects(text)} >= {
        *("audit", "dead-letter", "failed", "node-id", "started", "took-over"),
        *("unknown-variable", "usage"),
    }
    assert leaks(text) == []


BUG = """
import sys, warnings
from threading import Thread
from voltpay_core.codec import Codec
word = "can" + "ary"  # a traceback of Python 3.13 shows these lines
def crash(*_):
    warnings.warn("old")
    print("half", file=sys.stderr, end="")
    print("a line\\nand another", file=sys.stderr)
    thread = Thread(target=lambda: int(word))
    thread.start()
    thread.join()
    int(word)
Codec.decode = crash
from voltpay_cli.app import main
sys.argv[1:] = ["consume", "--source", "file:in.jsonl", "--store", "sqlite:x", "--events", "file:o"]
main()
"""


def test_what_bypasses_the_log_is_an_object_too(capfd: pytest.CaptureFixture[str]) -> None:
    """Bugs in any thread, warnings and text on stderr are objects; bugs have a traceback."""
    with closing(PaymentFilePublisher("in.jsonl")) as payments:
        payments.publish(records(Codec()))
    environment = os.environ | {"VOLTPAY_LOG_FORMAT": "json"}
    code = subprocess.run([sys.executable, "-c", BUG], env=environment, check=False).returncode
    text = capfd.readouterr().err
    told = {each["event"]: each for each in objects(text)}
    assert (code, leaks(text)) == (1, [])
    assert told["bug"]["traceback"].endswith("builtins.ValueError")
    assert told["output"]["message"] == "halfa line\nand another"
    assert "old" in told["library"]["message"]


def test_a_signal_is_an_object(folder: Path) -> None:
    """What a signal handler writes past the log is an object, and so is the way out."""
    given = {"VOLTPAY_LOG_FORMAT": "json"}
    urls = ("--source", "file:-", *LOCAL[2:])
    with start("consume", *urls, cwd=folder, **given) as running:
        assert running.stderr is not None
        before = next(line for line in running.stderr if "took-over" in line)
        running.send_signal(signal.SIGTERM)
        _, after = running.communicate(timeout=60)
    assert [each["event"] for each in objects(before + after)] == ["took-over", "stopping"]


def test_lines_of_libraries_are_objects(capsys: pytest.CaptureFixture[str]) -> None:
    """The Kafka client and other libraries log as objects, and no exception says anything."""
    log_to_stderr("info", "json")
    try:
        int(PASSWORD)
    except ValueError:
        logging.getLogger("kafka.net").exception("failed")
        logging.getLogger("opentelemetry.sdk").exception("failed")
    use("text")
    logging.captureWarnings(capture=False)
    told = capsys.readouterr().err
    assert [each["event"] for each in objects(told)] == ["kafka-client", "library"]
    assert leaks(told) == []


def test_lines_of_workers_carry_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    """A worker's object gets its number; what is none becomes one."""
    log_to_stderr("info", "json")
    logging.getLogger("voltpay").warning("words")
    line = capsys.readouterr().err
    for each in (line, "no object\n", "[1]\n", "\n"):
        pass_on(each, 7)
    use("text")
    told = objects(capsys.readouterr().err)
    assert [(each["message"], each["worker"]) for each in told] == [
        ("words", 7),
        ("no object", 7),
        ("[1]", 7),
    ]


FORMATS = ("", "text", "JSON")


@pytest.mark.parametrize(("flag", "variable", "file"), list(product(FORMATS, FORMATS, FORMATS)))
@pytest.mark.parametrize("equals", [True, False])
def test_the_format_is_known_before_the_settings_are(
    flag: str, variable: str, file: str, *, equals: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A wrong command line is told in the format that the settings would have."""
    arguments = ["consume", "--config", "other.toml"]
    if flag:
        arguments += [f"--log-format={flag}"] if equals else ["--log-format", flag]
    if variable:
        monkeypatch.setenv("VOLTPAY_LOG_FORMAT", variable)
    Path("other.toml").write_text(f'log_format = "{file}"' if file else "")
    loaded = load({"log_format": flag or None}, "other.toml").settings
    assert asked_format(arguments) == loaded.log_format


@pytest.mark.parametrize("text", ["[", "log_format = 7", "log_format.x = 1", "\0", "a = 1"])
def test_a_file_that_cannot_be_used_is_told_in_text(text: str) -> None:
    """Where nobody can know the format, it is text."""
    Path("voltpay.toml").write_text(text)
    assert asked_format(["consume"]) == "text"
    result = voltpay("config", "show")
    assert result.exit_code == 78
    assert result.stderr.startswith("voltpay: ")


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls of the log in a module."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="log"), attr=level)):
                if level in {"debug", "info", "warning", "error"}:
                    yield node


def test_every_line_of_ours_has_an_event() -> None:
    """Each call of the log names the event of its line, and each event is somebody's."""
    sources = list(Path(voltpay_cli.__file__).parent.rglob("*.py"))
    trees = [ast.parse(path.read_text("utf-8")) for path in sources]
    found = [call for tree in trees for call in calls(tree)]
    assert len(found) > 10
    assert [call.lineno for call in found if "extra" not in keywords(call)] == []
    told = "".join(path.read_text("utf-8") for path in sources if path.name != "lines.py")
    by_name = {"kafka-client", "library", "output", "retrying"}  # of a stream, or an adapter's
    assert [word for word in get_args(Event) if f'"{word}"' not in told] == sorted(by_name)


def keywords(call: ast.Call) -> Sequence[str | None]:
    return [keyword.arg for keyword in call.keywords]
