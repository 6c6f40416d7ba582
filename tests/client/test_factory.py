"""`Client(...)`: addresses, options, the class that comes out."""

import argparse
import subprocess
import sys

import pytest

from jina import Client
from jina.errors import ConfigError


def address(**options):
    client = Client(**options)
    return client.protocol, client.host, client.port, client.tls


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("grpc://localhost:1234", ("grpc", "localhost", 1234, False)),
        ("grpcs://localhost:1234", ("grpc", "localhost", 1234, True)),
        ("http://localhost", ("http", "localhost", 80, False)),
        ("https://localhost", ("http", "localhost", 443, True)),
        ("ws://localhost:99", ("websocket", "localhost", 99, False)),
        ("wss://localhost", ("websocket", "localhost", 443, True)),
        ("localhost", ("grpc", "localhost", 80, False)),
        ("localhost:77", ("grpc", "localhost", 77, False)),
        ("0.0.0.0", ("grpc", "127.0.0.1", 80, False)),
    ],
)
def test_address(host, expected):
    assert address(host=host) == expected


def test_defaults(monkeypatch):
    monkeypatch.delenv("JINA_DEFAULT_HOST", raising=False)
    assert address() == ("grpc", "127.0.0.1", 80, False)
    assert address(port=5, protocol="HTTP", tls=True) == ("http", "127.0.0.1", 5, True)


@pytest.mark.parametrize("twice", [{"port": 1}, {"protocol": "grpc"}, {"tls": True}], ids=["port", "protocol", "tls"])
def test_what_the_url_says_is_not_said_twice(twice):
    with pytest.raises(ValueError, match="two definitions"):
        Client(host="grpc://localhost:1234", **twice)


def test_unknown_option_names_the_nearest():
    with pytest.raises(ConfigError, match="prefetch"):
        Client(prefetsh=3)


@pytest.mark.parametrize(
    ("protocol", "asyncio", "name"),
    [
        ("grpc", False, "GRPCClient"),
        ("grpc", True, "AsyncGRPCClient"),
        ("http", False, "HTTPClient"),
        ("http", True, "AsyncHTTPClient"),
        ("websocket", False, "WebSocketClient"),
        ("websocket", True, "AsyncWebSocketClient"),
    ],
)
def test_class(protocol, asyncio, name):
    assert type(Client(protocol=protocol, asyncio=asyncio, port=1)).__name__ == name


def test_args_namespace():
    args = argparse.Namespace(port=17, protocol="http", something_else=1)
    assert Client(args).port == 17
    assert Client(args, port=18).port == 18


def test_a_client_loads_no_transport_and_no_documents():
    code = (
        "import sys\nfrom jina import Client\nClient(port=1, protocol='http'); Client(port=1, asyncio=True)\n"
        "print([m for m in ('grpc', 'aiohttp', 'websockets', 'docarray', 'numpy', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50, check=True)
    assert done.stdout.strip() == "[]"
    assert not done.stderr
