"""Programs of these tests: a server of ours in a process of its own, and foreign ones built from Go modules."""

import contextlib
import json
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

import grpc
import pytest

ROOT = Path(__file__).parents[2]
BUILT = ROOT / ".cache/env-grpc"


def program(name):
    """The path of a foreign program; the test is skipped where it was not built."""
    found = BUILT / name
    if not found.exists():
        pytest.skip(f"{name} is not built: scripts/env.sh grpc")
    return str(found)


class Program:
    """A server of ours in a process of its own."""

    def __init__(self, process, log, authority):
        self.process = process
        self.authority = authority
        """The file of who signed its certificate; None where it speaks without TLS."""
        self._log = log
        line = process.stdout.readline()
        assert line, self.said()
        self.port = int(line)

    @property
    def tls(self):
        """How to connect to it: an argument of asyncio."""
        if self.authority is None:
            return None
        context = ssl.create_default_context(cafile=self.authority)
        context.set_alpn_protocols(["h2"])
        return context

    def look(self):
        """What it holds: KiB of `memory`, `connections` and `tasks`."""
        self.process.stdin.write("look\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, self.said()
        return json.loads(line)

    def peak(self, *, begin=False):
        """The most memory that it held since it was last asked to `begin`, in KiB."""
        folder = Path("/proc", str(self.process.pid))
        if begin:
            (folder / "clear_refs").write_text("5")
        [line] = [one for one in (folder / "status").read_text().splitlines() if one.startswith("VmHWM")]
        return int(line.split()[1])

    def said(self):
        """The end of what it logged."""
        self._log.flush()
        return Path(self._log.name).read_text(errors="replace")[-5000:]


@contextlib.contextmanager
def serving(engine, what, certificate=None, clients=None):
    """A server of ours in a process of its own, which asks for certificates that the authority `clients` signed."""
    files = [] if certificate is None else [certificate.file, certificate.key, *([clients] if clients else [])]
    words = [sys.executable, "-m", "tests.http2.serve", engine, what, *files]
    with (
        tempfile.NamedTemporaryFile("w") as log,
        subprocess.Popen(
            words, cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log
        ) as process,
    ):
        try:
            yield Program(process, log, certificate.authority if certificate else None)
        finally:
            process.kill()


def channel(server, *, aio=False, certificate=None):
    """A channel of grpcio to it; `certificate` is what the client shows."""
    library, address = (grpc.aio if aio else grpc), f"127.0.0.1:{server.port}"
    if server.authority is None:
        return library.insecure_channel(address)
    shown = () if certificate is None else (Path(certificate.key).read_bytes(), Path(certificate.file).read_bytes())
    return library.secure_channel(address, grpc.ssl_channel_credentials(Path(server.authority).read_bytes(), *shown))
