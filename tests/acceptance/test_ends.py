"""How services end: under load, in a constructor that fails, and what is left of them."""

import os
import signal
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jina import Client, Deployment
from jina.errors import RuntimeFailToStart, Unavailable
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.services import Broken, Counting, Slow, Token
from tests.certificates import certificate
from tests.processes import children

CLIENTS = 4
"""Threads that ask on each protocol."""


def test_sigterm_under_load(tmp_path):
    """Each request that was taken on is answered, the worker closes its Executor and exits with 0."""
    record = tmp_path / "record"
    served = Deployment(
        uses=Counting,
        protocol=list(PROTOCOLS),
        host="127.0.0.1",
        quiet=True,
        env={"RECORD": str(record)},
        restart_limit=0,
    )
    with served:
        worker = served._processes[0].workers[0]
        targets = list(zip(PROTOCOLS, served.ports, strict=True)) * CLIENTS
        warm = threading.Barrier(len(targets) + 1)
        with ThreadPoolExecutor(len(targets)) as pool:
            loads = [pool.submit(ask_until_refused, port, protocol, warm) for protocol, port in targets]
            warm.wait(30)
            os.kill(worker.pid, signal.SIGTERM)
            answered = [load.result(30) for load in loads]
        until(lambda: worker.exit_status is not None)
        assert worker.exit_status == 0
    assert min(answered) >= 1
    assert record.read_text() == f"{sum(answered)}\n"  # no more was done than answered


def ask_until_refused(port, protocol, warm):
    answered = 0
    with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
        while True:
            try:
                assert client.post("/count", Token(text="a"), return_type=Token, timeout=30).text == "a"
            except Unavailable:
                return answered
            answered += 1
            if answered == 1:
                warm.wait(30)


def test_a_failing_constructor(tmp_path):
    record = tmp_path / "record"
    with pytest.raises(RuntimeFailToStart) as caught:
        Deployment(uses=Broken, host="127.0.0.1", quiet=True, env={"RECORD": str(record)}).start()
    took = time.time() - float(record.read_text())
    assert took < 20
    line = next(
        number
        for number, text in enumerate(Path(__file__).with_name("services.py").read_text().splitlines(), 1)
        if '"no model"' in text
    )
    assert f"services.py:{line}" in str(caught.value)
    assert "OSError: no model" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)


def test_nothing_is_left(tmp_path, monkeypatch):
    """Of a Deployment on all protocols, and of clients that asked it."""
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    temporary.mkdir()
    home.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("HOME", str(home))
    life()  # what libraries keep for good, such as gRPC's own threads
    before = left_over()
    ports = life()
    until(lambda: left_over() == before)
    assert list(temporary.iterdir()) == []
    assert [path for path in home.rglob("*") if path.is_file() and home / ".cache" / "jina" not in path.parents] == []
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def life():
    with Deployment(uses=Slow, protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True) as served:
        for port, protocol in zip(served.ports, PROTOCOLS, strict=True):
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                assert len(client.post("/slow", [Token() for _ in range(3)], request_size=1)) == 3
        return list(served.ports)


def left_over():
    """Children, descriptors, threads of ours and shared memory."""
    return (
        sorted(children()),
        len(os.listdir("/proc/self/fd")),
        sorted(thread.name for thread in threading.enumerate()),
        sorted(os.listdir("/dev/shm")),
    )


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory):
    """A Deployment with a certificate on all protocols, and the file of its authority."""
    made = certificate(tmp_path_factory.mktemp("tls"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", made.authority)  # its own client trusts it too
        patch.delenv("GRPC_DEFAULT_SSL_ROOTS_FILE_PATH", raising=False)
        with Deployment(
            uses=Slow,
            protocol=list(PROTOCOLS),
            host="127.0.0.1",
            quiet=True,
            **made.options,
        ) as served:
            yield served, Path(made.authority)


def test_tls(encrypted, protocol):
    served, authority = encrypted
    port = served.ports[PROTOCOLS.index(protocol)]
    assert served.post("/slow", Token(text="a")).text == ["a"]
    with Client(host="localhost", port=port, protocol=protocol, tls=True) as client:
        assert client.post("/slow", Token(text="a"), return_type=Token).text == "a"
        assert client.is_flow_ready()
    with Client(host="localhost", port=port, protocol=protocol) as client, pytest.raises(Exception, match=str(port)):
        client.post("/slow", Token(text="a"), timeout=10)
    context = ssl.create_default_context(cafile=authority)
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secured,
    ):
        assert secured.version() in {"TLSv1.2", "TLSv1.3"}


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        pause.wait(0.01)
