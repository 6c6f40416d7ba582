"""A certificate for 127.0.0.1, made by the openssl program."""

import subprocess
from pathlib import Path
from typing import NamedTuple


class Certificate(NamedTuple):
    """Files in PEM."""

    file: Path
    key: Path


def make_certificate(folder: Path) -> Certificate:
    """A self-signed certificate that is its own authority; made once a folder."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    if not folder.exists():
        folder.mkdir(parents=True)
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
             "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1,DNS:localhost",
             "-keyout", str(made.key), "-out", str(made.file)],
            check=True, capture_output=True,
        )  # fmt: skip
    return made
