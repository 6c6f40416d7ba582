"""Certificates for tests, made by an authority of their own."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import trustme


class Certificate(NamedTuple):
    """Files in PEM: the certificate, its key, and the authority that signed it."""

    file: str
    key: str
    authority: str

    @property
    def options(self) -> dict[str, str]:
        """Of a Deployment that shows it."""
        return {"ssl_certfile": self.file, "ssl_keyfile": self.key}


class Authority:
    """Signs certificates, and writes them into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._made = trustme.CA()
        self.file = str(folder / "ca.pem")
        self._made.cert_pem.write_to_path(self.file)

    def issue(self, *hosts: str, name: str = "server") -> Certificate:
        """A certificate for these hosts; the files of an earlier one of that name are replaced."""
        issued = self._made.issue_cert(*hosts)
        file, key = self.folder / f"{name}.cert.pem", self.folder / f"{name}.key.pem"
        issued.private_key_pem.write_to_path(key)
        file.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        return Certificate(str(file), str(key), self.file)


def certificate(folder: Path) -> Certificate:
    """One for this machine."""
    return Authority(folder).issue("127.0.0.1", "localhost")
