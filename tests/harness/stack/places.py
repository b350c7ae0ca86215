"""Where the parts of the stack are on this machine, or what is missing and how to get it."""

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
POM = Path(__file__).with_name("pom.xml")
OLDEST_JAVA = 17
OLDEST_POSTGRES = 15
IMAGE_TOOLS = ("mmdebstrap", "buildah", "runc")
MONITORS = {
    "prometheus": ("prometheus",),
    "promtool": ("promtool",),
    "amtool": ("amtool",),
    "alertmanager": ("alertmanager", "prometheus-alertmanager"),
    "node_exporter": ("node_exporter", "prometheus-node-exporter"),
    "postgres_exporter": ("postgres_exporter", "prometheus-postgres-exporter"),
}
"""The programs of Prometheus, each with the names by which it is found; the last is Debian's."""
THRIFTY = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")
"""Java's cheapest garbage collector and compiler."""


class MissingError(Exception):
    """A part of the stack is not on this machine; the text names it."""

    def __str__(self) -> str:
        return f"{super().__str__()}; get it with: python -m tests.harness.stack.provision"


def stack_folder() -> Path:
    """The folder that keeps resolved jars: STACK_DIR, or `.stack` in the project."""
    return Path(os.environ.get("STACK_DIR") or ROOT / ".stack").resolve()


def jars(name: str) -> Path:
    """The folder of jars called `name`: kafka or liquibase."""
    if not jars_are_current():
        raise MissingError(f"the jars of {name} are not in {stack_folder()}")
    return stack_folder() / name


def jars_are_current() -> bool:
    """Whether the jars were resolved from the pom.xml of today."""
    stamp = jars_stamp()
    return stamp.is_file() and stamp.read_text() == pom_digest()


def jars_stamp() -> Path:
    """The file that is written when all jars are there; it holds the digest of their pom.xml."""
    return stack_folder() / "resolved"


def pom_digest() -> str:
    """The digest that tells one pom.xml from another."""
    return hashlib.sha256(POM.read_bytes()).hexdigest()


def java() -> str:
    """The path of a Java runtime that is new enough."""
    found = shutil.which("java")
    if found is None or _number_in(_printed([found, "--version"])) < OLDEST_JAVA:
        raise MissingError(f"no Java runtime {OLDEST_JAVA} or newer on the PATH")
    return found


def pgbouncer() -> str:
    """The path of the connection pooler PgBouncer; Debian keeps it where root alone looks."""
    found = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if found is None:
        raise MissingError("no PgBouncer on the PATH")
    return found


def image_tools() -> tuple[str, ...]:
    """The names of the programs that make a base image, build on it and run what was built."""
    if os.geteuid() != 0:
        raise MissingError("no right to build images: root alone can do it here")
    if missing := [name for name in IMAGE_TOOLS if shutil.which(name) is None]:
        raise MissingError(f"no {', '.join(missing)} on the PATH")
    return IMAGE_TOOLS


def monitor(program: str) -> str:
    """The path of a program of Prometheus: on the PATH, or where provisioning has put it."""
    folders = f"{os.environ.get('PATH', os.defpath)}:{monitors_folder() / 'usr/bin'}"
    for name in MONITORS[program]:
        if found := shutil.which(name, path=folders):
            return found
    raise MissingError(f"no {program} on the PATH")


def monitors_folder() -> Path:
    """The folder of the unpacked packages of Prometheus."""
    return stack_folder() / "monitors"


def postgres_programs() -> Path:
    """The folder of the newest PostgreSQL server's programs that has pg_partman beside it."""
    folders = [Path(found).parent] if (found := shutil.which("postgres")) else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, reverse=True)
    for folder in folders:
        if _serves(folder):
            return folder
    raise MissingError(f"no PostgreSQL server {OLDEST_POSTGRES} or newer with pg_partman")


def _version(programs: Path) -> int:
    return _number_in(programs.parent.name)


def _serves(programs: Path) -> bool:
    server, config = programs / "postgres", programs / "pg_config"
    if not (server.is_file() and config.is_file()):
        return False
    shared = Path(_printed([str(config), "--sharedir"]).strip())
    has_partman = (shared / "extension" / "pg_partman.control").is_file()
    return has_partman and _number_in(_printed([str(server), "--version"])) >= OLDEST_POSTGRES


def _printed(command: list[str]) -> str:
    return subprocess.run(command, check=False, text=True, capture_output=True).stdout


def _number_in(text: str) -> int:
    number = re.search(r"\d+", text)
    return int(number.group()) if number else 0
