"""Certificates for servers and clients of the tests, made by the program openssl."""

import subprocess
from pathlib import Path
from typing import Self

from attrs import frozen

_CONFIGURATION = "[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = Voltpay test\n"


@frozen
class Authority:
    """Who signs certificates; `certificate` is what its clients trust."""

    folder: Path

    @classmethod
    def found(cls, folder: Path) -> Self:
        """Make a new one in a folder of its own."""
        folder.mkdir(parents=True)
        (folder / "openssl.cnf").write_text(_CONFIGURATION)
        authority = cls(folder)
        authority._request(
            "ca", "basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign"
        )
        return authority

    @property
    def certificate(self) -> Path:
        return self.folder / "ca.crt"

    def issue(self, name: str, host: str) -> tuple[Path, Path]:
        """Certificate and key of a server, or a client, on that host, such as `DNS:localhost`."""
        self._request(
            name,
            f"subjectAltName={host}",
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=serverAuth,clientAuth",
            signer=("-CA", "ca.crt", "-CAkey", "ca.key"),
        )
        return self.folder / f"{name}.crt", self.folder / f"{name}.key"

    def _request(self, name: str, *extensions: str, signer: tuple[str, ...] = ()) -> None:
        added = [part for extension in extensions for part in ("-addext", extension)]
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-config", "openssl.cnf", "-days", "2", "-nodes"),
                *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
                *("-subj", f"/CN=Voltpay test {name}", *added, *signer),
                *("-out", f"{name}.crt", "-keyout", f"{name}.key"),
            ],
            cwd=self.folder,
            check=True,
            capture_output=True,
        )
