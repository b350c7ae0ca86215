"""Builds the images with buildah, on bases that are made here, and runs them with runc.

A registry of images cannot be reached from everywhere. A small Debian with Python stands in for the
base image; the Java and the jars of the stack stand in for those of the images that bring them.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen
from tests.harness.deployment import Program
from tests.harness.stack.places import ROOT, image_tools, jars, java
from tests.harness.stack.processes import Server

DOCKERFILE = ROOT / "deploy/image/Dockerfile"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
APT_SOURCES = (
    Path("/etc/apt/sources.list"),
    *sorted(Path("/etc/apt/sources.list.d").glob("*.sources")),
)
JARS = "/jars"
MVN = f"""#!/usr/bin/python3
import shutil, sys
(folder,) = [word.removeprefix("-Djars=") for word in sys.argv if word.startswith("-Djars=")]
shutil.copytree("{JARS}", folder)
"""
"""Stands in for Maven: the stack has its jars by the same pom.xml."""


@frozen
class Image:
    """A built image.

    Attributes:
        root: Its files.
        config: How it runs, in the words of the OCI's image specification.
    """

    root: Path
    config: Mapping[str, Any]

    def start(
        self,
        folder: Path,
        *arguments: str,
        mounts: Sequence[Mapping[str, Any]] = (),
        variables: Sequence[str] = (),
        network: bool = False,
    ) -> Program:
        """Start it as its configuration says, with a read-only root and without capabilities.

        Args:
            folder: For what runc needs, and the log.
            arguments: In the place of those of the image.
            network: Whether it has the network of this machine, or none.
        """
        name = f"voltpay-{secrets.token_hex(4)}"
        bundle = folder / name
        bundle.mkdir()
        run("runc", "spec", "--bundle", bundle)
        spec = json.loads((bundle / "config.json").read_text())
        uid, gid = map(int, self.config["User"].split(":"))
        spec["root"] = {"path": str(self.root), "readonly": True}
        spec["process"] |= {
            "terminal": False,
            "user": {"uid": uid, "gid": gid},
            "args": [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])],
            "env": [*self.config["Env"], *variables],
            "cwd": self.config["WorkingDir"],
            "capabilities": {},
        }
        spec["mounts"] += mounts
        if network:
            separate = spec["linux"]["namespaces"]
            separate[:] = [space for space in separate if space["type"] != "network"]
        (bundle / "config.json").write_text(json.dumps(spec))
        command = ("runc", "--root", folder / "containers", "run", "--bundle", bundle, name)
        return Program(name, command, log=bundle / "log")


def tmpfs(path: str) -> dict[str, Any]:
    """A small folder in memory to which everybody may write."""
    options = ["nosuid", "nodev", "mode=1777", "size=64m"]
    return {"destination": path, "type": "tmpfs", "source": "tmpfs", "options": options}


def bind(source: Path, path: str) -> dict[str, Any]:
    """A folder of this machine."""
    options = ["bind", "nosuid", "nodev"]
    return {"destination": path, "type": "bind", "source": str(source), "options": options}


class Images(Server):
    """A store of images in a folder of its own; it goes with all that is in it.

    Raises:
        MissingError: Images cannot be built on this machine.
    """

    def __init__(self) -> None:
        image_tools()
        self.folder = Path(tempfile.mkdtemp(prefix="voltpay-images-"))

    def _open(self) -> None:
        """Make what stands in for the images of a registry."""
        debian = self.folder / "debian.tar"
        packages = "--include=dash,libstdc++6,python3,python3-venv"
        of_this_machine = [source for source in APT_SOURCES if source.exists()]
        run("mmdebstrap", "--variant=extract", packages, "", debian, *of_this_machine)
        runtime, mvn = self.folder / "java", self.folder / "mvn"
        shutil.copytree(Path(java()).resolve().parents[1], runtime, ignore_dangling_symlinks=True)
        mvn.write_text(MVN)
        mvn.chmod(0o755)
        self._commit("python", "scratch", {debian: "/", CERTIFICATES: f"{CERTIFICATES.parent}/"})
        self._commit("java", "scratch", {runtime: "/opt/java/openjdk"})
        self._commit("maven", "localhost/python", {jars("liquibase"): JARS, mvn: "/usr/bin/mvn"})

    def close(self) -> None:
        """Remove everything."""
        self._buildah("rm", "--all")  # what is mounted, too
        shutil.rmtree(self.folder)

    def build(self, target: str) -> Image:
        """Build a stage of the Dockerfile from the sources as they are."""
        stand_ins = [
            f"{name.upper()}_IMAGE=localhost/{name}" for name in ("python", "java", "maven")
        ]
        given = [f"PIP_CERT={CERTIFICATES}", *stand_ins]
        if "PIP_INDEX_URL" in os.environ:
            given.append("PIP_INDEX_URL")
        arguments = [f"--build-arg={argument}" for argument in given]
        what = (f"--target={target}", f"--tag={target}", f"--file={DOCKERFILE}")
        self._buildah("build", "--isolation=chroot", "--layers", *what, *arguments, str(ROOT))
        described = json.loads(self._buildah("inspect", "--type=image", f"localhost/{target}"))
        container = self._buildah("from", f"localhost/{target}")
        return Image(Path(self._buildah("mount", container)), described["OCIv1"]["config"])

    def _commit(self, name: str, base: str, content: Mapping[Path, str]) -> None:
        container = self._buildah("from", base)
        for source, path in content.items():
            self._buildah("add", container, str(source), path)
        self._buildah("commit", "--rm", container, f"localhost/{name}")

    def _buildah(self, *arguments: str) -> str:
        store = ("--root", self.folder / "images", "--runroot", self.folder / "run")
        return run("buildah", *store, "--storage-driver=overlay", *arguments).strip()


def run(*command: str | Path) -> str:
    """Run a command to its end; what it printed, or all of it in the error."""
    ended = subprocess.run(command, capture_output=True, check=False, text=True)
    assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
    return ended.stdout
