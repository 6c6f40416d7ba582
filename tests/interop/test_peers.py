"""Schemaless documents, TLS, `jina ping` and servers that are down, both ways."""

import subprocess

import pytest

from tests.interop.matrix import CLIENTS, Raises, check
from tests.interop.programs import PYTHONS, free_ports

pytestmark = [pytest.mark.interop, pytest.mark.timeout(150)]

SIDES = ("ours", "theirs")


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("server", SIDES)
@pytest.mark.parametrize("listener", ["grpc", "http"])
@pytest.mark.parametrize(
    ("on", "text", "tags", "factor"),
    [("/loose", "t seen", {"k": "v", "n": 1}, 2), ("/other", "default", {"k": "v"}, 1)],
)
def test_schemaless_documents(clients, servers, client, server, listener, on, text, tags, factor):
    url = servers[f"{server}.loose-{listener}"]
    seen = clients[client].ask({"call": "loose", "url": url, "arguments": {"on": on}})
    dtype = "float32" if listener == "grpc" else "float64"
    embedding = {"dtype": dtype, "shape": [2], "values": [1.0 * factor, 2.0 * factor]}
    assert seen["result"] == {"text": text, "tags": tags, "embedding": embedding, "chunks": ["c"], "id": True}


@pytest.mark.parametrize(("client", "listener"), [("ours", "grpc"), ("ours", "http"), ("theirs", "grpc")])
def test_tls(clients, servers, client, listener):
    seen = clients[client].ask({"call": "lengths", "url": servers[f"ours.tls-{listener}"], "arguments": {}})
    assert seen["result"] == [["a!", "b!"], ["a0", "a1", "b0", "b1"], []]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scheme", ["grpc", "http", "ws"])
@pytest.mark.parametrize("call", ["lengths", "stream_doc"])
def test_nobody_listens(clients, client, scheme, call):
    if (client, scheme) == ("theirs", "ws") and call == "stream_doc":
        pytest.skip("Jina 3 cannot stream over WebSocket")
    url = f"{scheme}://127.0.0.1:{free_ports(1)[0]}"
    # Jina 3 lets aiohttp's own error through here, which is an OSError of another kind.
    expected = Raises() if (client, scheme, call) == ("theirs", "http", "stream_doc") else Raises("ConnectionError")
    check(clients[client].ask({"call": call, "url": url, "arguments": {}}), expected)


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.parametrize("scheme", ["grpc", "http", "ws"])
def test_post_raises_although_on_error_takes_failures_where_nobody_listens(clients, client, scheme):
    """Whether a ConnectionError was raised, and whether `on_error` was called: "on-error-unreachable"."""
    url = f"{scheme}://127.0.0.1:{free_ports(1)[0]}"
    seen = clients[client].ask({"call": "unreachable", "url": url, "arguments": {}})
    assert seen["result"] == [True, client != "theirs"]


def ping(side, url, home):
    command = [str(PYTHONS[side].with_name("jina")), "ping", "executor", url, "--timeout", "3000", "--attempts", "1"]
    environment = {"JINA_OPTOUT_TELEMETRY": "1", "PATH": "/usr/bin:/bin", "HOME": str(home)}
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, env=environment)


@pytest.mark.parametrize(
    ("client", "server"),
    [("ours", "theirs.grpc"), ("ours", "theirs.http"), ("theirs", "ours.grpc"), ("theirs", "ours.http")],
)
def test_ping(servers, client, server, tmp_path):
    done = ping(client, servers[server], tmp_path)
    assert done.returncode == 0, done.stderr
    dead = ping(client, f"grpc://127.0.0.1:{free_ports(1)[0]}", tmp_path)
    assert dead.returncode != 0
