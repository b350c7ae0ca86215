"""What is checked, by name; `nox` runs what `sessions` lists, in the environment at hand."""

import os
import secrets

import nox

nox.options.default_venv_backend = "none"  # `make` has put everything into one environment
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "unit",
    "docs",
    "laws",
    "integration",
    "mutants",
]


@nox.session
def lint(session: nox.Session) -> None:
    """Style and form."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    session.run("lint-imports")


@nox.session
def unit(session: nox.Session) -> None:
    """Tests that need no server."""
    session.run("pytest", "tests/unit", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The examples of the documentation."""
    session.run("pytest", "tests/docs", *session.posargs)


@nox.session
def laws(session: nox.Session) -> None:
    """The laws, by random histories."""
    session.run("pytest", "tests/laws", *session.posargs)


@nox.session
def integration(session: nox.Session) -> None:
    """Tests on real Kafka and real PostgreSQL, and a short selection of `faults`."""
    session.run("pytest", "tests/integration", "-m", "not faults", *session.posargs)


@nox.session
def mutants(session: nox.Session) -> None:
    """Whether the laws catch hand-made mistakes."""
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def faults(session: nox.Session) -> None:
    """Everything that breaks, also what takes its time."""
    seed = os.environ.get("SEED") or str(secrets.randbits(32))
    session.log(f"SEED={seed}")
    session.run("pytest", "tests/laws", f"--hypothesis-seed={seed}")
    rows = ("tests/integration/faults", "-m", "faults or not faults")
    session.run("pytest", *rows, *session.posargs, env={"SEED": seed})


@nox.session
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what the project needs to run; asks a service, so not by default."""
    session.run("pip", "install", "--quiet", "--group", "audit")
    session.run("pip-audit", "--strict", "--progress-spinner", "off", ".")


@nox.session
def bench(session: nox.Session) -> None:
    """The speed of the whole path on the real stack."""
    session.run("python", "-m", "bench", *session.posargs)
