"""Finds the project's SQL files, in an installed wheel and in a checkout."""

from __future__ import annotations

import re
from pathlib import Path

_CHANGESET = re.compile(r"^--changeset\s+\S+?:(\S+)", re.MULTILINE)

_ROLLBACK = re.compile(r"^--rollback (.*)$", re.MULTILINE)


def bootstrap_file() -> Path:
    """The SQL that creates roles, schemas and the extension."""
    return _database_folder() / "bootstrap.sql"


def changelog_folder() -> Path:
    """The folder with Liquibase's ``root.yaml`` and the numbered files that it includes."""
    return _database_folder() / "changelog"


def changeset_ids() -> tuple[str, ...]:
    """The ids of all changesets, in the order of their execution."""
    files = sorted(changelog_folder().glob("*.sql"))
    return tuple(found for file in files for found in _CHANGESET.findall(file.read_text("utf-8")))


def rollbacks() -> dict[str, str]:
    """The SQL that undoes each changeset, by its id."""
    files = sorted(changelog_folder().glob("*.sql"))
    parts = [_CHANGESET.split(file.read_text("utf-8"))[1:] for file in files]
    return {
        changeset: "\n".join(_ROLLBACK.findall(text))
        for part in parts
        for changeset, text in zip(part[::2], part[1::2], strict=True)
    }


def _database_folder() -> Path:
    installed = Path(__file__).with_name("db")
    return installed if installed.is_dir() else Path(__file__).parents[3] / "db"
