"""Reads the documents: their blocks of code, tables and links, and the commands in them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen
from tests.harness.stack.places import ROOT

DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/**/*.md"))]

_BLOCK = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"`([^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]*))?\)")
_HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
_TEST = re.compile(r"(?:tests|src/voltpay_adapters/testing)/[\w/]+\.py(?:::\w+)*")
_VARIABLE = re.compile(r"\bVOLTPAY_[A-Z_]*[A-Z]\b")


def name(document: Path) -> str:
    """The path of a document in the project."""
    return document.relative_to(ROOT).as_posix()


@frozen
class Block:
    """A block of code, and the document and line where it begins."""

    document: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{name(self.document)}:{self.line}"

    @property
    def commands(self) -> list[list[str]]:
        """The commands of a console block, as a shell parts them."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [command for line in lines for command in commands(line)]


def blocks(language: str) -> list[Block]:
    """All blocks of that language."""
    return [
        Block(document, text[: found.start()].count("\n") + 1, found[2])
        for document in DOCUMENTS
        for text in (document.read_text("utf-8"),)
        for found in _BLOCK.finditer(text)
        if found[1] == language
    ]


def spans(document: Path) -> list[str]:
    """What stands between backticks in the running text."""
    return _SPAN.findall(_BLOCK.sub("", document.read_text("utf-8")))


def links(document: Path) -> list[tuple[Path, str]]:
    """The files that a document links to, each with the heading, if it names one."""
    found = _LINK.findall(_BLOCK.sub("", document.read_text("utf-8")))
    return [
        (document.parent / target if target else document, heading)
        for target, heading in found
        if "://" not in target
    ]


def headings(document: Path) -> set[str]:
    """The headings of a document, as links name them."""
    found = _HEADING.findall(_BLOCK.sub("", document.read_text("utf-8")))
    return {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in found}


def named_tests(document: Path) -> list[str]:
    """The tests that a document refers to, as ``tests/path.py::name``."""
    return sorted(set(_TEST.findall(document.read_text("utf-8"))))


def variables(document: Path) -> set[str]:
    """The variables of the environment that a document names."""
    return set(_VARIABLE.findall(document.read_text("utf-8")))


def table(document: Path, *head: str) -> list[list[str]]:
    """The rows of the first table with that head."""
    lines = iter(document.read_text("utf-8").splitlines())
    wanted = f"| {' | '.join(head)} |"
    assert wanted in lines, f"{document.name} has no table {wanted}"
    next(lines)
    return [_cells(line) for line in _until_blank(lines)]


def commands(line: str) -> Iterator[list[str]]:
    """The commands of a line of shell, without their variables and redirections."""
    command: list[str] = []
    words = shlex.shlex(line, posix=True, punctuation_chars="|;&<>")
    words.whitespace_split, words.commenters = True, ""
    for word in [*words, ";"]:
        if word == "#" or set(word) <= set("|;&<>"):
            if command:
                yield command
            command = []
            if word == "#":
                return
        elif command or not re.match(r"\w+=", word):
            command.append(word)


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split(r" \|(?= )", line.strip().strip("|"))]


def _until_blank(lines: Iterator[str]) -> Iterator[str]:
    for line in lines:
        if not line.startswith("|"):
            return
        yield line
