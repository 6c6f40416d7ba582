"""Servers and clients of both sides, started once for all tests of this folder."""

import contextlib
import json

import pytest

from tests.interop.certificates import make_certificate
from tests.interop.programs import Program, free_ports


def pytest_collection_modifyitems(items):
    """Tests that ask the servers run in one process, so that these are started once."""
    for item in items:
        if "servers" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("servers"))


START = 60.0
"""Seconds that servers have until they are ready."""


class Servers:
    """URLs of all that is served: `servers["ours.grpc"]`."""

    def __init__(self, certificate):
        self.certificate = certificate
        ports = iter(free_ports(30))
        take = lambda count: [next(ports) for _ in range(count)]  # noqa: E731 - a word for what it does
        files = {"certificate": str(certificate.file), "key": str(certificate.key)}
        self.asked = {
            "ours": {
                "all_protocols": {"ports": take(3)},
                "loose": {"ports": take(2)},
                "tls": {"ports": take(2), **files},
                "flow": {"ports": take(3)},
            },
            "theirs": {
                "direct": {"ports": take(2)},
                "loose": {"ports": take(2)},
                "flow": {"ports": take(3)},
                "http": {"ports": take(1)},
            },
        }

    def port(self, side, kind, number=0):
        return self.asked[side][kind]["ports"][number]

    def __getitem__(self, name):
        side, kind, number, scheme = {
            "ours.grpc": ("ours", "all_protocols", 0, "grpc"),
            "ours.http": ("ours", "all_protocols", 1, "http"),
            "ours.ws": ("ours", "all_protocols", 2, "ws"),
            "ours.flow-grpc": ("ours", "flow", 0, "grpc"),
            "ours.flow-http": ("ours", "flow", 1, "http"),
            "ours.flow-ws": ("ours", "flow", 2, "ws"),
            "ours.loose-grpc": ("ours", "loose", 0, "grpc"),
            "ours.loose-http": ("ours", "loose", 1, "http"),
            "ours.tls-grpc": ("ours", "tls", 0, "grpcs"),
            "ours.tls-http": ("ours", "tls", 1, "https"),
            "theirs.grpc": ("theirs", "direct", 0, "grpc"),
            "theirs.http": ("theirs", "direct", 1, "http"),
            "theirs.loose-grpc": ("theirs", "loose", 0, "grpc"),
            "theirs.loose-http": ("theirs", "loose", 1, "http"),
            "theirs.flow-grpc": ("theirs", "flow", 0, "grpc"),
            "theirs.flow-http": ("theirs", "flow", 1, "http"),
            "theirs.flow-ws": ("theirs", "flow", 2, "ws"),
            "theirs.default-http": ("theirs", "http", 0, "http"),
        }[name]
        return f"{scheme}://127.0.0.1:{self.port(side, kind, number)}"


@pytest.fixture(scope="session")
def clients(tmp_path_factory):
    """A client program of each side; `clients["ours"].ask({"call": ..., "url": ..., "arguments": {...}})`."""
    folder = tmp_path_factory.mktemp("clients")
    with contextlib.ExitStack() as stack:
        certificate = make_certificate(tmp_path_factory.getbasetemp() / "certificate")
        started = {}
        for side in ("ours", "theirs"):
            environment = {
                "GRPC_DEFAULT_SSL_ROOTS_FILE_PATH": str(certificate.file),
                "SSL_CERT_FILE": str(certificate.file),
            }
            started[side] = Program(side, "client.py", log=folder / f"{side}.log", **environment)
            stack.callback(started[side].kill)
        yield started


@pytest.fixture(scope="session")
def servers(tmp_path_factory):
    """All servers, ready."""
    folder = tmp_path_factory.mktemp("servers")
    made = Servers(make_certificate(tmp_path_factory.getbasetemp() / "certificate"))
    with contextlib.ExitStack() as stack:
        started = {}
        for side, asked in made.asked.items():
            for kind, arguments in asked.items():
                log = folder / f"{side}-{kind}.log"
                started[side, kind] = Program(side, "serve.py", json.dumps({kind: arguments}), log=log)
                stack.callback(started[side, kind].kill)
        for program in started.values():
            assert program.line(START) == "ready"
        yield made
