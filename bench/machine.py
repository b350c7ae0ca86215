"""Describes the machine, and the versions of what runs on it."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from bench.stack import Stack

PACKAGES = ("voltpay", "kafka-python", "confluent-kafka", "pg8000", "msgspec")


def describe(stack: Stack) -> dict[str, str]:
    """The facts on which figures depend, by name."""
    disk = os.statvfs(stack.postgres.folder)
    return {
        "CPU": _cpu_model(),
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "free disk": f"{disk.f_bavail * disk.f_frsize / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "PostgreSQL": stack.postgres.run_sql("SHOW server_version"),
        "Kafka": _kafka_version(stack.kafka.log(1)),
        **{name: found for name in PACKAGES if (found := _version(name))},
    }


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _kafka_version(log: Path) -> str:
    _, found, rest = log.read_text("utf-8", "replace").partition("Kafka version: ")
    return rest.split(maxsplit=1)[0] if found else "unknown"


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
