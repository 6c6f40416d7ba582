"""A gateway that finds replicas by the resolver of the system, in a mount namespace with an /etc/hosts of its own."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest
from tests.cli import running
from tests.cli.running import Service, serving

from jina import Client, Document

IN_TIME = 40.0
SOURCE = """
import time
from jina import DocumentArray, Executor, requests

class Where(Executor):
    @requests(on='/go')
    def go(self, docs: DocumentArray, parameters: dict, **kwargs):
        time.sleep(parameters.get('seconds', 0))
        for doc in docs:
            doc.text = self.metas.name
"""


def may_mount():
    """Whether this user may have a mount namespace."""
    if not sys.platform.startswith("linux") or shutil.which("unshare") is None:
        return False
    return subprocess.run(["unshare", "-m", "true"], capture_output=True, check=False).returncode == 0


def free_port():
    with socket.socket() as sock:
        sock.bind(("0.0.0.0", 0))
        return sock.getsockname()[1]


def until(condition, what):
    end = time.monotonic() + IN_TIME
    while not condition():
        assert time.monotonic() < end, f"never: {what}"
        time.sleep(0.02)


def worker(host, port, folder):
    command = ("executor", "--uses", "Where", "--py-modules", "where.py", "--host", host, "--port", str(port),
               "--uses-metas", json.dumps({"name": host}))  # fmt: skip
    return serving(*command, cwd=folder)


class Named(Service):
    """A command whose /etc/hosts is a file of the test."""

    def __init__(self, words, cwd, hosts, monkeypatch):
        script = f'mount --bind "{hosts}" /etc/hosts && exec "{running.JINA}" "$@"'
        monkeypatch.setattr(running, "JINA", "unshare")
        super().__init__(["-m", "sh", "-c", script, "jina", *words], cwd)


@pytest.mark.slow
@pytest.mark.timeout(150)
@pytest.mark.skipif(not may_mount(), reason="needs a mount namespace")
def test_machines_behind_a_name_come_and_go(tmp_path, monkeypatch):
    """No request fails while the only machine behind the name is replaced by another one."""
    (tmp_path / "where.py").write_text(SOURCE)
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n127.0.0.2 pool.test\n")
    port = free_port()
    graph = {"start-gateway": ["where"], "where": ["end-gateway"]}
    addresses = {"where": f"dns:///pool.test:{port}"}
    command = ["gateway", "--graph-description", json.dumps(graph), "--resolve-interval", "200",
               "--deployments-addresses", json.dumps(addresses)]  # fmt: skip
    with worker("127.0.0.2", port, tmp_path) as first:
        first.address("grpc")
        with monkeypatch.context() as patch:
            gateway = Named(command, tmp_path, hosts, patch)
        try:
            client = Client(port=int(gateway.address("grpc").rpartition(":")[2]))

            def asked(**parameters):
                return client.post("/go", Document(text="x"), parameters=parameters).texts[0]

            assert {asked() for _ in range(5)} == {"127.0.0.2"}
            with worker("127.0.0.3", port, tmp_path) as second:
                second.address("grpc")
                hosts.write_text("127.0.0.1 localhost\n127.0.0.2 pool.test\n127.0.0.3 pool.test\n")
                until(lambda: asked() == "127.0.0.3", "an answer of the second")
                assert {asked() for _ in range(30)} == {"127.0.0.2", "127.0.0.3"}
                hosts.write_text("127.0.0.1 localhost\n127.0.0.3 pool.test\n")
                until(lambda: "127.0.0.2" not in {asked() for _ in range(10)}, "answers of the second alone")
                assert first.end() == 0
                assert {asked() for _ in range(10)} == {"127.0.0.3"}
                hosts.write_text("127.0.0.1 localhost\n")
                until(lambda: "cannot be resolved" in gateway.output, "that the name is not known any more")
                assert asked() == "127.0.0.3"
        finally:
            assert gateway.end(signal.SIGTERM) == 0, gateway.output
