import io
import re
import sys

import pytest

from jina.observe.terminal import time
from jina.orchestration.display import address, announce, network_host, progress, rows
from jina.plan.plans import ListenerPlan, TlsPlan


def _listener(**options):
    return ListenerPlan(**{"protocol": "grpc", "host": "0.0.0.0", "port": 12345, **options})


@pytest.mark.parametrize(
    ("listener", "text"),
    [
        (_listener(), "grpc://0.0.0.0:12345"),
        (_listener(protocol="websocket", host="localhost"), "ws://localhost:12345"),
        (_listener(protocol="http", tls=TlsPlan(certfile="c", keyfile="k")), "https://0.0.0.0:12345"),
        (_listener(host="::1"), "grpc://[::1]:12345"),
    ],
)
def test_address(listener, text):
    assert address(listener) == text


def test_a_server_on_every_interface_says_so():
    assert rows([_listener(protocol="http")], "10.0.0.7") == [
        ("Protocol", "HTTP"),
        ("Local", "http://127.0.0.1:12345"),
        ("Network", "http://10.0.0.7:12345"),
        ("Docs", "http://127.0.0.1:12345/docs"),
        ("Note", "listens on every interface (0.0.0.0); host='127.0.0.1' keeps it on this machine"),
    ]


def test_a_local_server_has_no_network_address():
    assert rows([_listener(host="127.0.0.1")], "10.0.0.7") == [
        ("Protocol", "GRPC"),
        ("Local", "grpc://127.0.0.1:12345"),
    ]


class _Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_progress_and_a_table(monkeypatch):
    terminal = _Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    with progress("executor") as tell:
        for second in range(100):
            tell(f"1 of 2 ready\nencoder: in __init__ {second} s")
            now += 1
    shown = re.findall(r"executor: 1 of 2 ready; encoder: in __init__ (\d+) s\n", terminal.getvalue())
    assert list(map(int, shown)) == [1, 3, 7, 15, *range(25, 100, 10)]
    announce("executor", [_listener()], behind=[("Executor", "encoder, 2 replicas")])
    text = terminal.getvalue()
    assert not re.search(r"\r|\x1b\[\d*[A-K]", text)  # nothing goes back over lines, which may be of Executors
    assert "encoder, 2 replicas" in text
    assert "executor is ready to serve" in text
    assert "grpc://127.0.0.1:12345" in text


def test_elsewhere_one_line(monkeypatch, capsys):
    with progress("executor") as tell:
        assert tell is None
    announce("executor", [_listener(), _listener(protocol="http", port=80)])
    announce("executor", [_listener()], quiet=True)
    assert capsys.readouterr().err == "executor is ready: grpc://0.0.0.0:12345 http://0.0.0.0:80\n"


def test_network_host_is_no_loopback():
    host = network_host()
    assert host is None or not host.startswith("127.")
