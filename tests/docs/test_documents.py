"""The documents agree with the code: commands, settings, codes, examples and named tests."""

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any, get_args

import pytest
from attrs import asdict
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.cli import VOLTPAY, parse
from tests.harness.documents import (
    DOCUMENTS,
    Block,
    blocks,
    commands,
    headings,
    links,
    name,
    named_tests,
    spans,
    table,
    variables,
)
from tests.harness.snapshots import snapshot
from tests.harness.stack.places import ROOT
from typed_settings.dict_utils import get_path
from typer.core import TyperGroup

from voltpay_adapters.kafka.requirements import Stake
from voltpay_adapters.kafka.topic_policy import TopicPolicy
from voltpay_adapters.metrics import WriterMetrics
from voltpay_adapters.snapshot_metrics import exposition
from voltpay_cli.config_file import CONFIG_VARIABLE
from voltpay_cli.console.lines import Event
from voltpay_cli.settings import OPTIONS, Settings
from voltpay_cli.settings.loading import load
from voltpay_core.codec import EVENT_ID_HEADER, REBUILT_PREFIX, Codec, Topics
from voltpay_core.errors import DEAD_LETTER_CODES
from voltpay_core.ids import PaymentId
from voltpay_core.notices import Idle
from voltpay_core.outcomes import DecodedPayment, Written
from voltpay_core.payments import Payment
from voltpay_core.records import Partition, Record, last_header

REFERENCE = ROOT / "docs/reference"
TOPIC_SETTINGS = REFERENCE / "topic-settings.md"
WIRE_FORMAT = REFERENCE / "wire-format.md"
RELIABILITY = ROOT / "docs/explanation/reliability.md"
PACKAGES = [
    path.parent.relative_to(ROOT / "src").as_posix().replace("/", ".")
    for path in sorted(ROOT.glob("src/voltpay_*/**/__init__.py"))
    if "__all__" in path.read_text("utf-8") and "voltpay_cli" not in path.parts
]
DEPLOYED = [*ROOT.glob("deploy/systemd/*"), ROOT / "deploy/crontab"]
SERVERS = ("kafka://", "postgresql://")
TOPICS = ("input", "read", "e-mail", "dead letters")
AT_START = {Stake.SERVICE: "-", Stake.RECORDS: "warns", Stake.PAYMENTS: "halts"}
HARMLESS = {"voltpay", "cp", "head", "cat"}


def each(found: list[Block]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("block", [pytest.param(block, id=str(block)) for block in found])


def needs_no_server(block: Block) -> bool:
    words = [word for command in block.commands for word in command]
    programs = {command[0] for command in block.commands}
    return (
        programs <= HARMLESS
        and not any(word.startswith(SERVERS) for word in words)
        and any(word.startswith("file:") for word in words)
    )


def run(command: list[str], folder: Path) -> None:
    environment = {n: v for n, v in os.environ.items() if not n.startswith("VOLTPAY_")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    ended = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, check=False, text=True
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@each(blocks("python"))
def test_python_runs(block: Block, tmp_path: Path) -> None:
    """Every block of Python runs as it stands, without any server; tests in it pass."""
    if "import pytest\n" in block.text:
        (tmp_path / "test_block.py").write_text(block.text, "utf-8")
        run([sys.executable, "-W", "error", "-m", "pytest", "-q", "."], tmp_path)
    else:
        run([sys.executable, "-W", "error", "-c", block.text], tmp_path)


@each([block for block in blocks("console") if needs_no_server(block)])
def test_consoles_run(block: Block, tmp_path: Path) -> None:
    """Commands that need no server end well, one after the other, in an empty folder."""
    run(["bash", "-euc", block.text], tmp_path)


@each(blocks("console"))
def test_consoles_are_well_formed(block: Block) -> None:
    """Every `voltpay` in a console block is a command with arguments that it takes."""
    for command in block.commands:
        if command[0] == "voltpay":
            parse(command)


@pytest.mark.parametrize("path", DEPLOYED, ids=lambda path: path.name)
def test_what_is_deployed_is_well_formed(path: Path) -> None:
    """The commands of the service and of the crontab are commands with arguments they take."""
    found = [
        [Path(words[0]).name, *words[1:]]
        for line in path.read_text("utf-8").splitlines()
        if "/voltpay " in line and not line.startswith("#")
        for words in commands(line[line.index("/") :])
    ]
    assert found
    for command in found:
        parse(command)


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_commands_exist(document: Path) -> None:
    """Every command and option that is named in running text exists."""
    for span in spans(document):
        words = span.split()
        if words[0] == "voltpay":
            assert_named(words)
        elif words[0].startswith("--") and words[0] != "--help":
            assert words[0] in every_option(VOLTPAY), span


def assert_named(words: list[str]) -> None:
    nodes = [VOLTPAY]
    for word in words[1:]:
        if isinstance(nodes[0], TyperGroup) and word[0] not in "-…":
            nodes = [nodes[0].commands[name] for name in word.split("|")]
        elif word.startswith("-"):
            assert word in every_option(nodes[0]), " ".join(words)


def every_option(node: Any) -> set[str]:
    found = {name for option in node.params for name in option.opts}
    below = node.commands.values() if isinstance(node, TyperGroup) else ()
    return found.union(*map(every_option, below))


def test_the_commands_are_complete() -> None:
    """The table of commands has each command, in order, with its help and its options."""
    told = {
        command.strip("`"): (words, set(options.replace("`", "").split()) - {"-"})
        for command, words, options in table(
            REFERENCE / "commands.md", "command", "what it does", "options"
        )
    }
    found = dict(leaves(VOLTPAY, "voltpay"))
    assert told == {command: (node.help, own_options(node)) for command, node in found.items()}
    assert list(told) == list(found)


def own_options(node: Any) -> set[str]:
    options = {option for option in every_option(node) if option.startswith("--")}
    return options - {"--help", "--config", "--log-level", "--log-format", "--kafka-client"}


def leaves(node: Any, path: str) -> Iterator[tuple[str, Any]]:
    if not isinstance(node, TyperGroup):
        yield path, node
        return
    for word, command in node.commands.items():
        yield from leaves(command, f"{path} {word}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_variables_exist(document: Path) -> None:
    """Every variable of the environment that is named is a setting's."""
    known = {f"VOLTPAY_{o.path.replace('.', '_').upper()}" for o in OPTIONS} | {CONFIG_VARIABLE}
    assert variables(document) <= known


def test_the_settings_are_complete() -> None:
    """The table of settings has each of them, in order, with its default and its flag's help."""
    rows = table(REFERENCE / "settings.md", "setting", "default", "unit", "meaning")
    told = {setting.strip("`"): default.strip("`") for setting, default, *_ in rows}
    meanings = {setting.strip("`"): meaning.replace("`", "") for setting, *_, meaning in rows}
    helps = {option.path: option.metadata["help"] for option in OPTIONS}
    assert {path: meanings[path] for path, words in helps.items() if words} == {
        path: words for path, words in helps.items() if words
    }
    defaults = asdict(Settings())
    assert told == {o.path: in_words(get_path(defaults, o.path)) for o in OPTIONS}
    assert list(told) == [option.path for option in OPTIONS]


def in_words(default: object) -> str:
    if default is None or default == {}:
        return "-"
    if isinstance(default, frozenset):
        return ",".join(sorted(status.name for status in default))
    return str(default)


def test_the_topic_settings_are_complete() -> None:
    """The table of topic settings has each compared setting, its requirement and its topics."""
    told = {
        (setting.strip("`"), wanted.strip("`"), topic, consume or "-")
        for setting, wanted, topics, _, consume in table(
            TOPIC_SETTINGS, "topic setting", "wanted", "topics", "what for", "`consume`"
        )
        for topic in (TOPICS if topics == "all" else topics.split(", "))
    }
    assert told == {
        (required.name, required.wanted, kind, AT_START[required.stake])
        for kind, topic in zip(TOPICS, TopicPolicy().expected_topics(), strict=True)
        for required in topic.requirements
    }


def test_the_metrics_are_complete() -> None:
    """The table of metrics has each of a writer, in order, with its type and its labels."""
    metrics = WriterMetrics(Topics(), "a-group")
    metrics(Idle({Partition("payments", 1): 0}))
    rows = table(REFERENCE / "metrics.md", "metric", "type", "labels", "meaning")
    told = {name.strip("`"): (kind, labels) for name, kind, labels, _ in rows}
    assert told == {
        family.name + ("_total" if family.type == "counter" else ""): (
            family.type,
            ", ".join(f"`{label}`" for label in _labels(family)) or "-",
        )
        for family in metrics.registry.collect()
        if family.name.startswith("voltpay_")
    }


def _labels(family: Metric) -> list[str]:
    return [label for label in family.samples[0].labels if label != "le"]


def test_the_metrics_of_the_observer_are_complete() -> None:
    """The table of metrics has each that a snapshot is exposed as, with its label."""
    rows = table(ROOT / "docs/how-to/observe.md", "metric", "meaning")
    told = [metric.strip("`") for metrics, _ in rows for metric in metrics.split(", ")]
    families = text_string_to_metric_families(exposition(snapshot()).decode())
    assert sorted(told) == sorted(
        f"{family.name}{{{label}}}" if label else family.name
        for family in families
        for label in ["".join(family.samples[0].labels)]
    )


@each(blocks("toml"))
def test_settings_files_load(block: Block, tmp_path: Path) -> None:
    """Every settings file that is shown can be loaded."""
    path = tmp_path / "voltpay.toml"
    path.write_text(block.text)
    assert load({}, str(path)).origins


def test_the_codes_are_complete() -> None:
    """The table of dead-letter codes has exactly the codes that the program uses."""
    told = [code.strip("`") for code, _ in table(WIRE_FORMAT, "code", "meaning")]
    assert sorted(told) == sorted(set(codes())) == sorted(DEAD_LETTER_CODES)


def codes() -> Iterator[str]:
    for path in ROOT.glob("src/voltpay_*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="Rejected" | "PaymentIdTaken"), args=[code, *_]):
                    assert isinstance(code, ast.Constant), f"{path}: a code is no constant"
                    yield str(code.value)


def test_the_wire_examples_are_real() -> None:
    """The shown events are those of the shown payment."""
    payment, read, email, _ = (block.text.strip() for block in blocks("json"))
    record = Record(Partition("payment_writer_topic", 0), 0, 0, b"1007919", payment.encode())
    message = Codec().decode(record)
    assert isinstance(message, DecodedPayment)
    assert Codec().encode_payment(message.payment).decode() == payment
    stored = Payment(PaymentId.parse(json.loads(read)["id"]), message.payment)
    events = Codec().events(Written(record, stored))
    assert [event.value for event in events] == [read.encode(), email.encode()]
    told = {(last_header(event.headers, EVENT_ID_HEADER) or b"").decode() for event in events}
    told.add(f"{REBUILT_PREFIX}{stored.id}:{stored.version}")
    assert told <= set(spans(WIRE_FORMAT))


@pytest.mark.parametrize("package", PACKAGES)
def test_the_api_is_complete(package: str) -> None:
    """The reference of the API has every name that a package exports, and no other."""
    documented = [name for owner, name in exported_names() if owner == package]
    assert sorted(documented) == sorted(import_module(package).__all__)


def exported_names() -> Iterator[tuple[str, str]]:
    """The names that the reference takes from a package, each with the package."""
    for block in blocks("{eval-rst}"):
        package = ""
        for directive, target in re.findall(r"^\.\. (\w+):: ([\w.]+)$", block.text, re.MULTILINE):
            if directive == "currentmodule":
                package = target
            elif directive.startswith("auto") and directive != "automodule":
                owner, _, name = target.rpartition(".")
                yield owner or package, name


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_links_lead_somewhere(document: Path) -> None:
    """Every link leads to an existing file and heading."""
    for path, heading in links(document):
        assert path.exists(), path
        assert not heading or heading in headings(path), f"{path}#{heading}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_tests_exist(document: Path) -> None:
    """Every test that a document names exists."""
    for test in named_tests(document):
        path, *parts = test.split("::")
        assert (ROOT / path).is_file(), test
        assert set(parts) <= defined(ROOT / path), test


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_named_modules_exist(document: Path) -> None:
    """Every module and folder of a package that a document names by its path exists."""
    for span in spans(document):
        if re.match(r"voltpay_\w+/", span):
            assert (ROOT / "src" / span).exists(), span


def test_every_fault_is_documented() -> None:
    """The table of faults names each test that breaks something, how often it passed by client."""
    head = ("fault", "must hold", "tests", "kafka-python", "confluent")
    told = {row[2]: row[3:] for row in table(RELIABILITY, *head)}
    names = {test for cell in told for test in cell.strip("`").split("` `")}
    broken = ROOT / "tests/integration/faults"
    assert names == {
        f"{path.name}::{test}"
        for path in broken.glob("test_*.py")
        for test in defined(path)
        if test.startswith("test_")
    }
    assert all(runs.isdigit() for row in told.values() for runs in row)


def defined(path: Path) -> set[str]:
    kinds = ast.FunctionDef | ast.ClassDef
    tree = ast.parse(path.read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, kinds)}


def test_the_events_of_the_log_are_complete() -> None:
    """The table of log events has each word, in order."""
    rows = table(REFERENCE / "log-lines.md", "event", "meaning", "more fields")
    assert [word.strip("`") for word, *_ in rows] == list(get_args(Event))
