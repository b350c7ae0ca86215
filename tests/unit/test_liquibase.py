"""How Liquibase is started, and which certificates its driver trusts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from voltpay_adapters.postgres.liquibase import Liquibase
from voltpay_adapters.postgres.urls import DatabaseUrl
from voltpay_core.errors import Misconfigured

TARGET = DatabaseUrl.parse("postgresql://voltpay_migrator@localhost/voltpay")
MAIN = "liquibase.integration.commandline.LiquibaseCommandLine"


def program(folder: Path, name: str) -> str:
    """A program of that name in the folder."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text("#!/bin/sh\n")
    path.chmod(0o700)
    return str(path)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of the PATH; no JAVA_HOME is set."""
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path / "path"


def test_the_program_is_on_the_path_or_named(path: Path) -> None:
    """Without a class path the program is run: the one on the PATH, or the one that is named."""
    with pytest.raises(Misconfigured, match=r"^the program 'liquibase' is not on the PATH"):
        Liquibase(TARGET)._launcher()
    found = program(path, "liquibase")
    assert Liquibase(TARGET)._launcher() == [found]
    other = program(path, "liquibase-4")
    assert Liquibase(TARGET, program=other)._launcher() == [other]
    with pytest.raises(Misconfigured, match="'nowhere'"):
        Liquibase(TARGET, program="nowhere")._launcher()


def test_a_class_path_needs_java(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Java is that of JAVA_HOME, or else the one on the PATH."""
    jars = Liquibase(TARGET, classpath="a.jar:b.jar")
    with pytest.raises(Misconfigured, match="java is not on the PATH"):
        jars._launcher()
    java = program(path, "java")
    assert jars._launcher() == [java, "-cp", "a.jar:b.jar", MAIN]
    monkeypatch.setenv("JAVA_HOME", str(path.parent / "home"))
    assert jars._launcher()[0] == java
    (path.parent / "home").mkdir()
    own = program(path.parent / "home/bin", "java")
    assert jars._launcher()[0] == own


def test_a_folder_stands_for_all_its_jars(path: Path) -> None:
    """A class path that is a folder means every jar in it."""
    program(path, "java")
    found = Liquibase(TARGET, classpath=str(path))._launcher()
    assert found[1:] == ["-cp", os.path.join(path, "*"), MAIN]  # noqa: PTH118 - no pattern of a Path


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"sslmode": "disable"}),
        ({"sslmode": "require", "sslrootcert": "ca.crt"}, {"sslmode": "require"}),
        (
            {"sslmode": "verify-full"},
            {
                "sslmode": "verify-full",
                "sslfactory": "org.postgresql.ssl.DefaultJavaSSLFactory",
            },
        ),
        (
            {"sslmode": "verify-full", "sslrootcert": "ca.crt"},
            {"sslmode": "verify-full", "sslrootcert": "ca.crt"},
        ),
    ],
)
def test_certificates_are_checked_where_they_are_to_be(
    options: dict[str, str], expected: dict[str, str]
) -> None:
    """Only `verify-full` checks certificates: by the file that is named, or by Java's own."""
    assert Liquibase(TARGET, **options)._tls() == expected
