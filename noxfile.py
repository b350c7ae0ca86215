"""What is checked, by name; `nox` runs what `sessions` lists, in the environment at hand."""

import os
import secrets
import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "none"  # `make` has put everything into one environment
nox.options.sessions = [
    "lint",
    "types",
    "imports",
    "unit",
    "docs",
    "site",
    "properties",
    "packaging",
    "sbom",
    "deploy",
    "pythons",
    "integration",
    "alerts",
    "image",
    "mutants",
    "mutation",
]

PYTHONS = nox.project.python_versions(nox.project.load_toml("pyproject.toml"))
LOCKED_TO_RUN, LOCKED_TO_DEVELOP = "requirements/cli.txt", "requirements/dev.txt"
LOCKED_TO_BUILD = "requirements/build.txt"

# The tests start the program some hundred times: let it keep what Python has compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PARALLEL = ("--numprocesses=auto", "--dist=worksteal")
# Each process starts its own servers, and runs whole files in the order of tests/integration. One
# more than there are cores: half of the time a test waits for a server.
SERVERS = (os.cpu_count() or 1) + 1
PARALLEL_ON_SERVERS = (f"--numprocesses={SERVERS}", "--dist=loadfile", "--no-loadscope-reorder")

QUICKLY_MUTATED = (
    *("voltpay_core.breaker", "voltpay_core.fencing", "voltpay_core.ids"),
    *("voltpay_core.purging", "voltpay_core.rebuilding"),
    "--own",
)

# A shim of pyenv runs only a version that is chosen: choose each that is claimed.
PYENV = Path(os.environ.get("PYENV_ROOT", "~/.pyenv")).expanduser()
os.environ["PYENV_VERSION"] = ":".join(
    path.name for version in PYTHONS for path in sorted(PYENV.glob(f"versions/{version}.*"))
)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and form."""
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly: of the source, the tests, the examples and the benchmark."""
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """Who may import whom."""
    session.run("lint-imports")


@nox.session
def unit(session: nox.Session) -> None:
    """Tests that need no server."""
    session.run("pytest", *PARALLEL, "tests/unit", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """The examples of the documentation."""
    session.run("pytest", *PARALLEL, "tests/docs", *session.posargs)


@nox.session
def packaging(session: nox.Session) -> None:
    """The wheel: what it and each of its extras bring."""
    session.run("pytest", "tests/packaging", *session.posargs)


@nox.session
def deploy(session: nox.Session) -> None:
    """The Helm chart, the Compose file, and the alerts for series made by hand."""
    session.run("pytest", *PARALLEL, "tests/deploy", *session.posargs)


@nox.session
def site(session: nox.Session) -> None:
    """The site of the documentation, in site/; a warning is an error."""
    session.run("sphinx-build", "--fail-on-warning", "--keep-going", "--quiet", "docs", "site")


@nox.session
def properties(session: nox.Session) -> None:
    """The laws, by random histories."""
    session.run("pytest", *PARALLEL, "tests/properties", *session.posargs)


@nox.session(python=PYTHONS, venv_backend="uv")
def pythons(session: nox.Session) -> None:
    """What needs no server, on each Python; on the first of them, with the oldest dependencies.

    The laws hold of the rules of the core, in which Pythons do not differ: once is enough for them.
    """
    oldest = session.python == PYTHONS[0]
    versions = ("--resolution=lowest-direct",) if oldest else ("--constraint", LOCKED_TO_DEVELOP)
    session.install(".[cli,otel]", "--group", "test", *versions)
    _run_without_servers(session, "tests/unit", *(["tests/properties"] if oldest else []))


@nox.session(venv_backend="uv")
def latest(session: nox.Session) -> None:
    """What needs no server, with the newest dependencies in place of the locked ones."""
    session.install(".[cli,otel]", "--group", "test", "--upgrade")
    _run_without_servers(session, "tests/unit", "tests/properties")


def _run_without_servers(session: nox.Session, *tests: str) -> None:
    session.run("voltpay", "demo", str(Path(session.create_tmp(), "demo")), silent=True)
    lean = {"HYPOTHESIS_PROFILE": "lean"}
    session.run("pytest", *PARALLEL, *tests, *session.posargs, env=lean)


@nox.session
def integration(session: nox.Session) -> None:
    """Tests on real Kafka and real PostgreSQL, and a short selection of `faults`."""
    tests = ("tests/integration", "-m", "not faults", "--ignore=tests/integration/alerts")
    session.run("pytest", *PARALLEL_ON_SERVERS, *tests, *session.posargs, env=_in_memory())


@nox.session
def image(session: nox.Session) -> None:
    """The images: linted, built without Docker, and run."""
    session.run("hadolint", *map(str, sorted(Path("deploy").rglob("Dockerfile"))))
    session.run("pytest", "tests/image", *session.posargs)


@nox.session
def alerts(session: nox.Session) -> None:
    """Each alert, made true on a real stack and delivered by Alertmanager: some minutes."""
    session.run("pytest", "tests/integration/alerts", *session.posargs, env=_in_memory())


def _in_memory() -> dict[str, str]:
    """Let servers keep their files in memory, which is faster than a disk, if it has room."""
    memory = Path("/dev/shm")  # noqa: S108 - each server makes a folder of its own
    has_room = memory.is_dir() and shutil.disk_usage(memory).free > 8 * 2**30
    return {"TMPDIR": str(memory)} if has_room else {}


@nox.session
def mutants(session: nox.Session) -> None:
    """Whether the laws catch hand-made mistakes."""
    session.run("python", "-m", "tests.mutants", *session.posargs)


@nox.session
def mutation(session: nox.Session) -> None:
    """Whether tests catch the mutants that mutmut makes of some modules of the core.

    It takes other modules or packages, and the size of a sample, such as
    ``nox -s mutation -- voltpay_adapters.postgres --sample 300``, which is slow.
    """
    session.run("uv", "pip", "install", "--quiet", "--group", "mutation")
    session.run("python", "-m", "tests.mutants.generated", *(session.posargs or QUICKLY_MUTATED))


@nox.session
def faults(session: nox.Session) -> None:
    """Everything that breaks, also what takes its time."""
    seed = os.environ.get("SEED") or str(secrets.randbits(32))
    session.log(f"SEED={seed}")
    session.run("pytest", "tests/properties", f"--hypothesis-seed={seed}")
    rows = ("tests/integration/faults", "-m", "faults or not faults")
    session.run("pytest", *rows, *session.posargs, env={"SEED": seed})


@nox.session
def coverage(session: nox.Session) -> None:
    """How much of the source is run by the tests that need no server."""
    report = ("--cov", "--cov-report=term")
    session.run("pytest", *PARALLEL, *report, "tests/unit", "tests/properties", *session.posargs)


@nox.session
def lock(session: nox.Session) -> None:
    """Locks the newest dependencies that pyproject.toml allows, for `make` to install."""
    every_system = ("--universal", "--python-version", PYTHONS[0], "--generate-hashes")
    compiled = ("uv", "pip", "compile", "--quiet", "--upgrade", "--no-annotate", *every_system)
    run = ("pyproject.toml", "--extra", "cli", "--extra", "confluent", "--extra", "otel")
    session.run(*compiled, *run, "--output-file", LOCKED_TO_RUN)
    session.run(*compiled, "--group", "build", "--output-file", LOCKED_TO_BUILD)
    develop = (*run, "--group", "dev", "--constraint", LOCKED_TO_RUN)
    session.run(*compiled, *develop, "--output-file", LOCKED_TO_DEVELOP)


@nox.session(venv_backend="uv")
def audit(session: nox.Session) -> None:
    """Known vulnerabilities of what runs and of what builds; asks a service: not by default."""
    session.install("--group", "audit")
    for lock in (LOCKED_TO_RUN, LOCKED_TO_BUILD):
        locked = ("--requirement", lock, "--require-hashes", "--disable-pip")
        session.run("pip-audit", "--strict", "--progress-spinner", "off", *locked)


@nox.session(venv_backend="uv")
def sbom(session: nox.Session) -> None:
    """The bill of materials (CycloneDX) of what is in the image, in dist/voltpay.cdx.json."""
    session.install("--group", "sbom")
    running = Path(session.create_tmp(), "running").resolve()
    session.run("uv", "venv", "--quiet", "--clear", str(running), external=True)
    install = ("uv", "pip", "install", "--quiet", "--no-deps", "--python", str(running))
    session.run(*install, "--require-hashes", "--requirement", LOCKED_TO_RUN, external=True)
    session.run(*install, ".", external=True)
    Path("dist").mkdir(exist_ok=True)
    written = ("--output-reproducible", "--output-file", "dist/voltpay.cdx.json")
    described = ("--pyproject", "pyproject.toml", "--mc-type", "application")
    session.run("cyclonedx-py", "environment", *described, *written, str(running))


@nox.session
def bench(session: nox.Session) -> None:
    """The speed of the writer on real servers, and of its parts."""
    session.run("python", "-m", "bench", *session.posargs)
