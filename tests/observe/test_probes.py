"""Probes of a worker that serves alone, answered by a process that does not share its interpreter."""

import contextlib
import http.client
import os
import signal
import socket
import threading
import time

import psutil
import pytest
from tests.acceptance.flow_asking import get, until
from tests.observe.steps import Stuck

from jina import Client, Deployment, Flow
from jina.errors import ConfigError, PortAlreadyUsed
from jina.worker import prober
from jina.worker.prober import LIMIT, Prober

LOCAL = {"host": "127.0.0.1", "quiet": True}
P99 = 0.05


@contextlib.contextmanager
def prober_after(*words):
    """A prober that was told these words, all at the time 0."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        made = Prober(listening, theirs)
        for word in words:
            ours.send(bytes([word]))
            assert made._read_checks()
        made._checks_at = 0.0
        yield made


def status(made, path, now=0.0, method="GET"):
    return int(made.answer(f"{method} {path} HTTP/1.1\r\n\r\n".encode(), now).split()[1])


def test_what_the_worker_said_last_counts_for_a_while():
    with prober_after(0) as made:
        assert [status(made, path) for path in ("/livez", "/startupz", "/readyz")] == [200, 503, 503]
    with prober_after(0, 1) as made:
        assert [status(made, path) for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 503]
    with prober_after(0, 1, 3) as made:
        assert [status(made, path, LIMIT) for path in ("/livez", "/startupz", "/readyz?verbose")] == [200, 200, 200]
        assert [status(made, path, LIMIT + 0.1) for path in ("/livez", "/startupz", "/readyz")] == [200, 200, 503]
        assert b"[-]worker-answers failed" in made.answer(b"GET /readyz HTTP/1.1\r\n\r\n", LIMIT + 0.1)
        assert b"[+]worker-answers ok" in made.answer(b"GET /readyz/?verbose HTTP/1.1\r\n\r\n", 0)
        assert (status(made, "/metrics"), status(made, "/readyz", method="POST")) == (404, 405)
        assert made.answer(b"HEAD /readyz HTTP/1.1\r\n\r\n", 0).endswith(b"\r\n\r\n")
        assert status(made, "nonsense") == 404
        assert made.answer(b"\xff\r\n\r\n", 0).startswith(b"HTTP/1.1 404")


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return sock.getsockname()[1]


def readyz(port):
    """Status, text and seconds of one probe, which has a connection of its own, as a cluster's have."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", "/readyz?verbose")
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, time.perf_counter() - began


def helper(served):
    """The process that answers the probes."""
    worker = psutil.Process(served.status().processes[0].pid)
    return next(one for one in worker.children() if one.cmdline()[3].endswith("prober.py"))


@pytest.mark.slow
@pytest.mark.parametrize("place", ["alone", "behind"])
def test_probes_while_c_code_holds_the_interpreter(place):
    """They are answered at once, and tell the truth within the documented seconds."""
    port = free_port()
    alone = {"port_probes": port} if place == "alone" else {"replicas": 2}
    stale = LIMIT if place == "alone" else LIMIT + 1.0
    with Deployment(uses=Stuck, protocol="http", **alone, **LOCAL) as served:
        port = port if place == "alone" else served.port
        until(lambda: readyz(port)[0] == 200)
        asking = [threading.Thread(target=hold, args=(served.port, stale + 2)) for _ in range(len(served.plan.workers))]
        began = time.monotonic()
        for one in asking:
            one.start()
        found = []
        while any(one.is_alive() for one in asking):
            found.append((time.monotonic() - began, *readyz(port)))
            threading.Event().wait(0.01)
        for one in asking:
            one.join(30)
        assert sorted(seconds for *_, seconds in found)[int(len(found) * 0.99)] < (
            P99 if os.environ.get("JINA_CHAOS") else 1
        )
        failing = [(at, text) for at, code, text, _ in found if code == 503]
        assert failing, "ready all the time"
        assert stale - 1 < failing[0][0] < stale + 3
        assert "[-]worker-answers failed" in failing[0][1] or "[-]executor/rep-0 failed" in failing[0][1]
        until(lambda: readyz(port)[0] == 200)


def hold(port, seconds):
    with Client(host="127.0.0.1", port=port, protocol="http") as client:
        client.post("/usleep", parameters={"seconds": seconds})


@pytest.mark.slow
def test_the_process_that_answers_lives_and_ends_with_its_worker():
    port = free_port()
    with Deployment(uses=Stuck, port_probes=port, **LOCAL) as served:
        until(lambda: readyz(port)[0] == 200)
        assert get(port, "/livez")[0] == get(port, "/startupz")[0] == 200
        first = helper(served)
        first.send_signal(signal.SIGTERM)  # for the worker, not for it
        assert readyz(port)[0] == 200
        assert first.memory_info().rss < 16 * 2**20
        first.kill()
        until(lambda: _answers(port))
        assert helper(served).pid != first.pid
        served.roll_out()  # the successor serves the port before the other lets go
        until(lambda: readyz(port)[0] == 200)
        with pytest.raises(ConfigError, match="port_probes: is for a worker that serves alone"):
            served.scale(replicas=2)
        second = helper(served)
        os.kill(served.status().processes[0].pid, signal.SIGKILL)
        until(lambda: not second.is_running())
        until(lambda: served.is_ready)
        until(lambda: _answers(port))
        last = helper(served)
        with pytest.raises(PortAlreadyUsed), Deployment(uses=Stuck, port_probes=port, **LOCAL):
            pass
    assert not last.is_running()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), 5)


def _answers(port):
    try:
        return readyz(port)[0] == 200
    except OSError:
        return False


@pytest.mark.slow
def test_slow_and_odd_clients_do_no_harm(monkeypatch):
    monkeypatch.setattr(prober, "PATIENCE", 0.5)
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=Prober(listening, theirs).serve, args=(os.getppid(),))
        thread.start()
        ours.send(b"\3")
        address = listening.getsockname()
        with contextlib.ExitStack() as stack:
            silent = [stack.enter_context(socket.create_connection(address, 5)) for _ in range(20)]
            silent[0].sendall(b"GET /rea")
            silent[1].sendall(b"x" * 20_000)
            assert readyz(address[1])[0] == 200
            for sock in silent:
                sock.settimeout(10)
                with contextlib.suppress(ConnectionResetError):
                    assert sock.recv(10) == b""
        ours.close()
        thread.join(10)
        assert not thread.is_alive()


def test_where_a_gateway_answers_for_its_workers():
    with pytest.raises(ConfigError, match="here a gateway answers for its workers"):
        Deployment(uses=Stuck, replicas=2, port_probes=5000)
    with pytest.raises(ConfigError, match="Flow: a: port_probes"):
        Flow().add(name="a", uses=Stuck, port_probes=5000).build()
