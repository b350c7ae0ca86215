"""The images, really built and run: read-only, as nobody in particular, and without a shell."""

from __future__ import annotations

import os
import re
import signal
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.cli import parse
from tests.harness.databases import bootstrapped, connected
from tests.harness.deployment import PATIENCE
from tests.harness.images import Image, Images, bind, tmpfs
from tests.harness.stack.available import available
from tests.harness.stack.places import ROOT
from tests.harness.stack.postgres import PostgresServer

from voltpay_adapters.postgres.resources import changeset_ids

USER = 10001
WORK = "/var/lib/voltpay"
RECORDS = 8_000


@pytest.fixture(scope="session")
def images() -> Iterator[Images]:
    with available(Images) as images:
        yield images


@pytest.fixture(scope="session")
def writer(images: Images) -> Image:
    """The writer's image, from which every shell is removed."""
    return without_shells(images.build("writer"))


@pytest.fixture(scope="session")
def migrations(images: Images) -> Image:
    return without_shells(images.build("migrations"))


def without_shells(image: Image) -> Image:
    shells = [
        image.root / folder / name for folder in ("bin", "usr/bin") for name in ("sh", "dash")
    ]
    found = [shell for shell in shells if shell.is_symlink() or shell.exists()]
    assert found
    for shell in found:
        shell.unlink()
    return image


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """A folder of the image's user."""
    folder = tmp_path / "work"
    folder.mkdir()
    os.chown(folder, USER, USER)
    return folder


def test_it_says_what_it_is(writer: Image, migrations: Image) -> None:
    """Both images run the program by itself as an unknown user, and have the labels of the OCI."""
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    for image, title, command in (
        (writer, "voltpay-writer", ["consume"]),
        (migrations, "voltpay-migrations", ["db", "update"]),
    ):
        config = image.config
        assert config["User"] == f"{USER}:{USER}"
        assert (config["Entrypoint"], config["Cmd"]) == (["voltpay"], command)
        parse(["voltpay", *command])
        assert "Healthcheck" not in config
        prefix = "org.opencontainers.image."
        labels = {name.removeprefix(prefix): text for name, text in config["Labels"].items()}
        assert (labels["title"], labels["version"]) == (title, version)
        assert labels.keys() >= {"description", "licenses", "revision", "vendor", "base.name"}


def test_it_holds_what_is_locked(writer: Image) -> None:
    """The environment has the packages of the lock and the program: not even pip."""
    (site,) = writer.root.glob("opt/voltpay/lib/python3.*/site-packages")
    found = {path.name.removesuffix(".dist-info") for path in site.glob("*.dist-info")}
    lock = (ROOT / "requirements/cli.txt").read_text("utf-8")
    pins = re.findall(r"^([\w.-]+)==(\S+)( ; .*win32.*)?", lock, re.MULTILINE)
    locked = {
        f"{name.replace('-', '_')}-{version}" for name, version, windows in pins if not windows
    }
    assert {name.lower() for name in found} == locked | {"voltpay-0.1.0"}


def test_the_demo_runs(writer: Image, tmp_path: Path) -> None:
    """With nothing but a small tmpfs, without a network, the demo does its job."""
    demo = writer.start(tmp_path, "demo", mounts=[tmpfs(WORK)])
    assert demo.exit_code() == 0, demo.printed()
    assert "written 0," in demo.printed()  # the second time


def test_the_root_is_read_only(writer: Image, tmp_path: Path) -> None:
    """Without a place to write, the demo fails and says why: it may write nowhere else."""
    demo = writer.start(tmp_path, "demo")
    assert demo.exit_code() == os.EX_CONFIG
    assert "cannot write to demo: Read-only file system" in demo.printed()


def test_a_stop_drains(writer: Image, work: Path, tmp_path: Path) -> None:
    """SIGTERM reaches the program, which ends its batch and then with 0; the next run goes on."""
    files = ("--source", f"file:{WORK}/payments.jsonl")
    to = (*files, "--store", f"sqlite:{WORK}/voltpay.db", "--events", f"file:{WORK}/events")
    mounts = [bind(work, WORK)]
    produce = writer.start(tmp_path, "produce", "--count", str(RECORDS), *files, mounts=mounts)
    assert produce.exit_code() == 0, produce.printed()
    consume = ("consume", "--output", "json", "--batch-size", "100", *to)

    stopped = writer.start(tmp_path, *consume, mounts=mounts)
    events = work / "events/payment_read_topic.jsonl"
    stopped.wait_for(lambda: events.exists() and events.stat().st_size > 0, seconds=PATIENCE)
    stopped.send(signal.SIGTERM)
    assert stopped.exit_code() == 0, stopped.printed()
    finished = writer.start(tmp_path, *consume, mounts=mounts)
    assert finished.exit_code() == 0, finished.printed()

    first, rest = stopped.summary()["written"], finished.summary()["written"]
    assert first > 0
    assert rest > 0
    assert first + rest == RECORDS
    assert {path.stat().st_uid for path in work.rglob("*")} == {USER}


@pytest.fixture
def postgres() -> Iterator[PostgresServer]:
    with available(lambda: PostgresServer(durable=False)) as server:
        yield server


def test_the_migrations_run(migrations: Image, postgres: PostgresServer, tmp_path: Path) -> None:
    """Without arguments, and with nothing but a tmpfs, the second image brings the schema up."""
    with bootstrapped(postgres) as database:
        target = f"VOLTPAY_DATABASE_MIGRATOR={database.migrator}"
        update = migrations.start(
            tmp_path, mounts=[tmpfs("/tmp")], variables=[target], network=True
        )
        assert update.exit_code() == 0, update.printed()
        with connected(database.superuser) as connection:
            rows = connection.run("SELECT id FROM write.databasechangelog ORDER BY orderexecuted")
    assert tuple(row[0] for row in rows) == changeset_ids()
