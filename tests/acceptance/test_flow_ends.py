"""How Flows end, and that nothing is left of them: processes, ports, descriptors, threads, files.

Ctrl+C while starting: `tests/orchestration/test_flow.py`.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from jina import Client, Flow
from jina.errors import PortAlreadyUsed, RuntimeFailToStart, Unavailable
from tests.acceptance.conftest import PROTOCOLS
from tests.acceptance.flow_asking import left_over, nothing_new, until
from tests.acceptance.flow_services import Counted, Delayed, Failing
from tests.acceptance.services import Token
from tests.processes import descendants, gone

CLIENTS = 3
"""Threads that ask on each protocol."""
PROMPTLY = 20
"""Seconds after which nothing is left of a program that was killed."""


@contextlib.contextmanager
def program(folder):
    """A program with a Flow, under load; gives it, what it printed, and what the clients count in the end."""
    temporary = folder / "tmp"
    temporary.mkdir()
    environment = {**os.environ, "TMPDIR": str(temporary), "PYTHONPATH": os.getcwd()}
    command = [sys.executable, "-m", "tests.acceptance.flow_program", str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        try:
            output = json.loads(child.stdout.readline() or child.stderr.read())
            targets = list(zip(PROTOCOLS, output["ports"], strict=True)) * CLIENTS
            warm = threading.Barrier(len(targets) + 1)
            with ThreadPoolExecutor(len(targets)) as pool:
                loads = [pool.submit(ask_until_refused, port, protocol, warm) for protocol, port in targets]
                warm.wait(30)
                yield child, output, loads
        finally:
            child.kill()


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


def nothing_left(result, folder):
    assert all(map(gone, result["processes"].values()))
    assert list((folder / "tmp").iterdir()) == []
    for port in result["ports"]:
        socket.create_server(("127.0.0.1", port)).close()


@pytest.mark.slow
def test_sigterm_under_load(tmp_path):
    """Each request that was taken on is answered, all Executors are closed, the program exits with 0."""
    with program(tmp_path) as (child, facts, loads):
        below = descendants(child.pid)
        assert set(facts["processes"].values()) <= below
        child.send_signal(signal.SIGTERM)
        answered = [load.result(30) for load in loads]
        assert child.wait(30) == 0, child.stderr.read()
    assert min(answered) >= 1
    assert all(map(gone, below))
    nothing_left(facts, tmp_path)
    counts = {int(path.read_text()) for path in tmp_path.glob("closed-*")}
    assert counts == {sum(answered)}  # no more was done than answered
    assert len(list(tmp_path.glob("closed-*"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("victim", ["program", "gateway"])
def test_a_kill_under_load(tmp_path, victim):
    """Whichever process is killed, all others end too; the error names the process that died."""
    with program(tmp_path) as (child, facts, loads):
        pids = descendants(child.pid)
        os.kill(child.pid if victim == "program" else facts["processes"]["gateway"], signal.SIGKILL)
        killed = time.monotonic()
        until(lambda: all(map(gone, pids)))
        took = time.monotonic() - killed
        assert min(load.result(30) for load in loads) >= 1
        if victim == "gateway":
            assert child.wait(30) == 3
            assert "gateway" in (said := child.stderr.read())
            assert "SIGKILL" in said
    nothing_left(facts, tmp_path)
    assert took < PROMPTLY


@pytest.mark.slow
def test_a_constructor_that_fails(tmp_path):
    """One of three: the others are not waited for, and are gone when the error is raised."""
    life()
    before = left_over()
    flow = Flow(host="127.0.0.1", quiet=True)
    flow = flow.add(name="early", uses=Delayed, uses_with={"seconds": 0, "file": str(tmp_path / "early")})
    flow = flow.add(name="broken", uses=Failing)
    flow = flow.add(name="late", uses=Delayed, uses_with={"seconds": 40, "file": str(tmp_path / "late")})
    with pytest.raises(RuntimeFailToStart, match=r"(?s)broken.*no model here") as caught:
        flow.start()
    assert "flow_services.py" in str(caught.value)
    assert isinstance(caught.value.__cause__, OSError)
    for path in tmp_path.iterdir():
        assert gone(int(path.read_text()))
    until(lambda: nothing_new(before))


@pytest.mark.slow
def test_ports_that_are_taken():
    """The port is named, and nothing is left of the steps that had started."""
    life()
    before = left_over()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        flow = Flow(host="127.0.0.1", quiet=True, protocol=["http", "grpc"], port=[port])
        with pytest.raises(PortAlreadyUsed, match=str(port)):
            flow.add(uses=Delayed).start()
    until(lambda: nothing_new(before))


def test_nothing_is_left(tmp_path, monkeypatch):
    """Of a Flow on all protocols, and of clients that asked it."""
    temporary, home = tmp_path / "tmp", tmp_path / "home"
    temporary.mkdir()
    home.mkdir()
    life()  # what libraries keep for good, such as gRPC's own threads
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setenv("HOME", str(home))
    before = left_over()
    ports = life()
    until(lambda: nothing_new(before))
    assert list(temporary.iterdir()) == []
    assert [path for path in home.rglob("*") if path.is_file() and home / ".cache" / "jina" not in path.parents] == []
    for port in ports:
        socket.create_server(("127.0.0.1", port)).close()


def life():
    with Flow(protocol=list(PROTOCOLS), host="127.0.0.1", quiet=True).add(uses=Counted).add(uses=Counted) as flow:
        ports = [listener.port for listener in flow.plan.gateway.listeners]
        for port, protocol in zip(ports, PROTOCOLS, strict=True):
            with Client(host="127.0.0.1", port=port, protocol=protocol) as client:
                assert len(client.post("/count", [Token() for _ in range(3)], request_size=1)) == 3
        return ports
