"""Brings what the stack needs onto this machine: `python -m tests.harness.stack.provision`."""

import fcntl
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.harness.stack.places import (
    IMAGE_TOOLS,
    MONITORS,
    OLDEST_POSTGRES,
    POM,
    MissingError,
    jars_are_current,
    jars_stamp,
    java,
    monitor,
    monitors_folder,
    pgbouncer,
    pom_digest,
    postgres_programs,
    stack_folder,
)

JAVA_PACKAGES = ("openjdk-17-jre-headless", "openjdk-21-jre-headless", "openjdk-25-jre-headless")
MONITOR_PACKAGES = (
    "prometheus",
    "prometheus-alertmanager",
    "prometheus-node-exporter",
    "prometheus-postgres-exporter",
)
# Debian's Alertmanager finds its templates here alone
MONITOR_TEMPLATES = Path("/usr/share/prometheus")
# Debian would make and start a cluster of its own with the first server that is installed
CLUSTER_SETTINGS = Path("/etc/postgresql-common/createcluster.d/no-main-cluster.conf")


class ProvisionError(Exception):
    """Something is missing and cannot be had from here; the text says how to get it."""


def main() -> int:
    """Install and resolve what is missing; 0 when the stack can start, otherwise 1."""
    try:
        install_programs()
        resolve_jars()
        unpack_monitors()
    except ProvisionError as error:
        print(f"provision: {error}", file=sys.stderr)
        return 1
    return 0


def install_programs() -> None:
    """Have the programs of the stack and those that build images: Debian's packages, when root."""
    if not (missing := missing_programs()):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise ProvisionError(
            f"missing: {', '.join(missing)}; install it, or run this as root on Debian or Ubuntu"
        )
    _run("apt-get", "update", "-qq")
    packages = [choose() for choose in missing.values()]
    CLUSTER_SETTINGS.parent.mkdir(parents=True, exist_ok=True)
    CLUSTER_SETTINGS.write_text("create_main_cluster = false\n")
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages)
    if shutil.which("update-ca-certificates"):
        # a new Java trusts the certificates that this machine's owner added only after this
        _run("update-ca-certificates")
    if still_missing := missing_programs():
        raise ProvisionError(f"still missing after installing: {', '.join(still_missing)}")


def missing_programs() -> dict[str, Callable[[], str]]:
    """What this machine lacks, each with the function that chooses its Debian package."""
    missing: dict[str, Callable[[], str]] = {}
    if not _have(java):
        missing["a Java runtime, 17 or newer"] = _java_package
    if not jars_are_current() and shutil.which("mvn") is None:
        missing["Maven (mvn)"] = lambda: "maven"
    if not _have(postgres_programs):
        missing["PostgreSQL 15 or newer with pg_partman"] = _partman_package
    if not _have(pgbouncer):
        missing["PgBouncer"] = lambda: "pgbouncer"
    if os.geteuid() == 0:  # others cannot build images, and need the stack all the same
        absent = [tool for tool in IMAGE_TOOLS if shutil.which(tool) is None]
        missing |= {tool: partial(str, tool) for tool in absent}
    return missing


def resolve_jars() -> None:
    """Copy the jars of every profile of the pom.xml into a folder of its name, once."""
    folder = stack_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars_are_current():
            return
        for profile in ("kafka", "liquibase", "zipkin"):
            shutil.rmtree(folder / profile, ignore_errors=True)
            goal = ("dependency:copy-dependencies", f"-P{profile}", f"-Djars={folder / profile}")
            _run("mvn", "-B", "-q", "-Dstyle.color=never", "-f", str(POM), *goal)
        jars_stamp().write_text(pom_digest())


def unpack_monitors() -> None:
    """Unpack Debian's packages of Prometheus, once: to install them would start their services."""
    if missing := [name for name in MONITORS if not _have(partial(monitor, name))]:
        if shutil.which("apt-get") is None:
            raise ProvisionError(f"missing: {', '.join(missing)}; install it")
        if os.geteuid() == 0:
            _run("apt-get", "update", "-qq")
        with tempfile.TemporaryDirectory() as folder:
            as_root = ("-o", "APT::Sandbox::User=root")  # another user may not write here
            _run("apt-get", "download", "-qq", *as_root, *MONITOR_PACKAGES, cwd=folder)
            for package in Path(folder).glob("*.deb"):
                _run("dpkg-deb", "--extract", str(package), str(monitors_folder()))
    templates = monitors_folder() / MONITOR_TEMPLATES.relative_to("/")
    if templates.exists() and not MONITOR_TEMPLATES.exists():
        try:
            shutil.copytree(templates, MONITOR_TEMPLATES, symlinks=True)
        except OSError:
            raise ProvisionError(f"missing: {MONITOR_TEMPLATES}; run this as root") from None


def _have(find: Callable[[], object]) -> bool:
    try:
        find()
    except MissingError:
        return False
    return True


def _java_package() -> str:
    found = set(_package_names("^openjdk-[0-9]+-jre-headless$"))
    for package in JAVA_PACKAGES:
        if package in found:
            return package
    raise ProvisionError(f"missing: a Java runtime; no package {' or '.join(JAVA_PACKAGES)}")


def _partman_package() -> str:
    by_version = {
        int(re.sub(r"\D", "", package)): package
        for package in _package_names("^postgresql-[0-9]+-partman$")
    }
    if not by_version or max(by_version) < OLDEST_POSTGRES:
        raise ProvisionError("missing: pg_partman; no package postgresql-15-partman or newer")
    return by_version[max(by_version)]


def _package_names(pattern: str) -> list[str]:
    search = ["apt-cache", "search", "--names-only", pattern]
    lines = subprocess.run(search, check=True, text=True, capture_output=True).stdout.splitlines()
    return [line.split()[0] for line in lines]


def _run(*command: str, cwd: str | None = None) -> None:
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    if subprocess.run(command, check=False, cwd=cwd, env=environment, stdout=sys.stderr).returncode:
        raise ProvisionError(f"failed: {shlex.join(command)}")


if __name__ == "__main__":
    sys.exit(main())
